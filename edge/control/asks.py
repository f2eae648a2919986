"""The bodies of requests to the admin API, and of its answers: validated here, and their schemas are in its OpenAPI."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

URLS_MOST = 100_000


class Ask(BaseModel):
    """An unknown field is an error: a misspelled `dry_run` must not purge."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PurgeAsk(Ask):
    """What to purge: exactly one of `url`, `urls`, `prefix`, `tag`, `site`, `title`, `everything`."""

    url: str | None = Field(None, description="one URL; with a query it means that query, without one every query")
    urls: Annotated[tuple[str, ...], Field(strict=False, max_length=URLS_MOST)] = Field((), description="several")
    prefix: str | None = Field(None, description="every URL that begins so")
    tag: str | None = Field(None, min_length=1, description="a surrogate key of the origin")
    site: str | None = Field(None, description="everything of a site; with `tag`: only its objects")
    title: str | None = Field(None, description="URL of a playlist or manifest: it, and everything it refers to")
    everything: bool = Field(False, description="everything of this node")
    soft: bool = Field(False, description="make stale instead of forgetting: asked about before its next use")
    dry_run: bool = Field(False, description="only count")
    fleet: bool = Field(False, description="on every node of the fleet, those that are away when they come back")
    wait: float = Field(
        0.0, ge=0, le=600, strict=False, description="seconds to wait until every live node has done it"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.url, self.prefix, self.tag, self.title]
        count = sum(value is not None for value in given) + bool(self.urls) + self.everything
        if self.site is not None and self.tag is None:
            count += 1
        if count != 1:
            raise ValueError("give exactly one of url, urls, prefix, tag, site, title, everything")
        if self.fleet and self.dry_run:
            raise ValueError("dry_run counts on one node: not with fleet")
        return self


class FleetTold(Ask):
    """Where an order for the whole fleet stands.

    `behind`: live nodes that have not done it yet; `away`: not heard of for 10 s: they will when they take part again,
    and serve what they have until then. `error`: why it did not reach the fleet, or is not known to have.
    """

    order: str = Field("", description="its place in the stream")
    done: list[str] = Field(default_factory=list)
    behind: list[str] = Field(default_factory=list)
    away: list[str] = Field(default_factory=list)
    error: str = ""


class PurgeTold(Ask):
    """What was purged, on this node. `failed`: volumes that did not confirm; it is owed, and done when they can."""

    objects: int
    length: int = Field(description="bytes of bodies that they had stored")
    seconds: float
    soft: bool
    dry_run: bool
    named: int = Field(description="URLs, prefixes or tags that the ask came to")
    failed: dict[str, str] = Field(
        default_factory=dict,
        description="volumes that did not confirm, and why. What it names is hidden where their keeper lives, and is "
        "forgotten (made stale) for good as soon as their disk can be written, or before their next keeper serves",
    )
    unread: dict[str, str] = Field(
        default_factory=dict, description="lists within a title that could not be read, and why: what they name stays"
    )
    fleet: FleetTold | None = Field(None, description="of a purge for the whole fleet")


class WarmAsk(Ask):
    """What to fetch before players ask for it: `urls`, `titles` or both."""

    urls: Annotated[tuple[str, ...], Field(strict=False, max_length=URLS_MOST)] = Field((), description="one by one")
    titles: Annotated[tuple[str, ...], Field(strict=False, max_length=1000)] = Field(
        (), description="playlists and manifests, with everything they refer to"
    )
    renditions: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="of lists within a title only those whose URL matches one of these patterns (*, ?)"
    )
    prefix: str | None = Field(None, description="only URLs that begin so")
    mbit: float = Field(0.0, ge=0, le=1_000_000, strict=False, description="megabits a second; 0 = no limit")
    window: str | None = Field(None, description="02:00-08:00: at work only then")
    zone: str = Field("UTC", description="time zone of the window: Asia/Yekaterinburg")
    parallel: int = Field(1, ge=1, le=16, description="fetches at a time")
    fleet: bool = Field(False, description="on every node of the fleet")

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.mbit * 1e6 / 8

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.urls and not self.titles:
            raise ValueError("give urls or titles")
        return self


class WarmTold(Ask):
    """A warm job: `length` bytes came from upstream; `refused`: answers that are no 200 or may not be kept."""

    id: str
    state: Literal["waiting", "running", "paused", "done", "cancelled"]
    total: int | None
    done: int
    present: int
    fetched: int
    refused: int
    failed: int
    length: int
    seconds: float
    mbit_per_second: float
    eta: float | None = Field(description="seconds, by the pace so far")
    failures: list[str]


class DrainAsk(Ask):
    """`on`: /readyz says 503 from now on, and players are served all the same."""

    on: bool = True


class LogAsk(Ask):
    level: Literal["debug", "info", "warning", "error"]


class Done(Ask):
    """What was asked has been done, or begun."""

    done: str


class Problem(Ask):
    """Why not."""

    error: str
