"""Where a fleet stands: `locations.toml`, from which targets, upstreams and the inventory are rendered.

A location is one room with one network: its nodes are alike. A location's parents are the locations of shields that
it asks; one without parents asks the origins.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge.config.load import load_document
from edge.config.values import HostName, Label, Section, Size, Url
from edge.words import ORIGIN

SHIELD, EDGE = "shield", "edge"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError('write a name of the time zone database, "Asia/Novosibirsk"') from error
    return value


class NodeSection(Section):
    """One machine."""

    name: Label = Field(description="in Via, Cache-Status and metrics")
    address: HostName = Field(description="by which the other nodes, Prometheus and Ansible reach it")


class DiskSection(Section):
    """A volume of each node of the location."""

    path: str = Field(min_length=1, description="a directory on the disk")
    size: Size = Field(description="bytes that the cache may take of it")


class LocationSection(Section):
    name: Label = Field(description="the label `location`")
    city: str = Field(min_length=1, description="for people")
    ix: Label = Field(description="the exchange at which players are met")
    provider: Label = Field(description="whose racks they are")
    role: Literal["edge", "shield"] = Field("edge", description="faces players, or edges")
    parents: Annotated[tuple[Label, ...], Field(strict=False)] = Field(
        (), description="locations whose shields it asks"
    )
    siblings: bool = Field(False, description="its nodes form one cache: each asks the object's owner first")
    link_gbps: float = Field(gt=0, le=1000, description="what the port of one node carries, 10^9 bits a second")
    timezone: Annotated[str, AfterValidator(_zone)] = Field(description="for windows of warm jobs")
    disk: Annotated[tuple[DiskSection, ...], Field(strict=False)] = Field(description="of each node")
    node: Annotated[tuple[NodeSection, ...], Field(strict=False)] = Field(description="the machines")

    @property
    def link_capacity(self) -> int:
        """Bytes a second."""
        return int(self.link_gbps * 125_000_000)


class Fleet(Section):
    """The whole of `locations.toml`."""

    origins: Annotated[tuple[Url, ...], Field(strict=False)] = Field(
        min_length=1, description="asked by who has no parents"
    )
    groups: dict[Label, Annotated[tuple[Url, ...], Field(strict=False, min_length=1)]] = Field(
        default_factory=dict, description="the same for sites whose upstream is this group"
    )
    players_port: int = Field(80, ge=1, le=65535, description="of every node")
    shields_port: int = Field(8080, ge=1, le=65535, description="on which shields and siblings are asked: plain HTTP")
    admin_port: int = Field(9180, ge=1, le=65535, description="which Prometheus scrapes")
    location: Annotated[tuple[LocationSection, ...], Field(strict=False)] = Field(min_length=1)

    @field_validator("groups")
    @classmethod
    def _others(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if ORIGIN in groups:
            raise ValueError(f"those of group {ORIGIN} stand in origins")
        return groups

    @field_validator("location")
    @classmethod
    def _own_names(cls, locations: tuple[LocationSection, ...]) -> tuple[LocationSection, ...]:
        for kind, names in (
            ("locations", [location.name for location in locations]),
            ("nodes", [node.name for location in locations for node in location.node]),
            ("nodes at the address", [node.address for location in locations for node in location.node]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"there are two {kind} {name!r}")
        return locations

    @model_validator(mode="after")
    def _known_parents(self) -> Self:
        by_name = {location.name: location for location in self.location}
        for location in self.location:
            for parent in location.parents:
                if parent not in by_name or by_name[parent].role != SHIELD:
                    raise ValueError(f"{location.name}: its parent {parent!r} is no location of shields")
            seen: set[str] = set()
            above = set(location.parents)
            while above - seen:
                seen |= above
                above = {parent for name in above for parent in by_name[name].parents}
            if location.name in seen:
                raise ValueError(f"{location.name} is among the parents of its own parents")
        return self

    def shields_of(self, location: LocationSection) -> tuple[NodeSection, ...]:
        """The nodes of a location's parents, in the order of the parents."""
        by_name = {known.name: known for known in self.location}
        return tuple(node for parent in location.parents for node in by_name[parent].node)


def load_fleet(path: Path) -> Fleet:
    """ConfigErrors: everything that is wrong with the file."""
    return load_document(path, Fleet)
