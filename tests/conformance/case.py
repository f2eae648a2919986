"""What a conformance case is: who says what to whom, step by step. Pure data.

A case has a path of its own below `/c/<id>`. In each step one client asks, the origin is asked or not, and the client
gets an answer. Values of fields may hold `<now-60>`: the HTTP date of that moment, in seconds from the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Fields = tuple[tuple[str, str], ...]
BODY = "the body"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the origin says. `date` None: no Date. `cut`: so many bytes of the body, then the connection is closed.

    `delay`: seconds before any of it. `raw` is sent instead of a head that is put together; `interim` before it.
    `chunked` with `trailers` behind it.
    """

    status: int = 200
    fields: Fields = ()
    body: str = BODY
    date: str | None = "<now>"
    raw: str = ""
    interim: str = ""
    chunked: bool = False
    trailers: str = ""
    length: bool = True
    hang_up: bool = False
    cut: int | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what has to come of it.

    `origin` None: the origin must not be asked. `behind`: asked while the answer comes from the cache. `sees`: what
    the origin's request has to have (a value; None: not at all). `gets`: the same of the client's answer; `status`
    and `body` None: any. `wait`: seconds before the request. `broken`: the client's connection is reset before the
    answer is whole. `soon`: it comes out so within a moment, when what was fetched behind an answer has been kept.
    """

    method: str = "GET"
    at: str = ""
    fields: Fields = ()
    sent: str = ""
    chunked: bool = False
    raw: str = ""
    origin: Answer | None = None
    behind: Answer | None = None
    sees: Mapping[str, str | None] = field(default_factory=dict)
    sees_target: str = ""
    sees_body: str | None = None
    sees_method: str = ""
    status: int | None = 200
    body: str | None = BODY
    gets: Mapping[str, str | None] = field(default_factory=dict)
    wait: float = 0.0
    broken: bool = False
    soon: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """`section` as `9111-4.2.1`; `says`: a sentence. `video`: holds in profile video too."""

    id: str
    section: str
    says: str
    steps: tuple[Step, ...]
    video: bool = False
