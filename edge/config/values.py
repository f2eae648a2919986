"""How the values of the configuration are written, and what is refused in each."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edge.config.units import parse_duration, parse_listen, parse_size
from edge.errors import ConfigError
from edge.origin.settings import Address

LABEL: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a field's name: RFC 9110 section 5.6.2
HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")
AUTHORITY: Final = re.compile(rf"(?:{HOST_NAME.pattern})(?::[0-9]{{1,5}})?")
WEB_ORIGIN: Final = re.compile(r"|\*|null|https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
PATH: Final = re.compile(r"[/*][\x21-\x7e]*")


def _written_like(pattern: re.Pattern[str], hint: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(hint)
        return value

    return AfterValidator(check)


def _listen(value: object) -> object:
    parse_listen(value)
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _url(value: str) -> str:
    if VISIBLE.fullmatch(value) is None:
        raise ValueError("must have no blanks, and percent-encode what is not ASCII")
    if value:
        try:
            Address.of(value)
        except ConfigError as error:
            raise ValueError(error.hint) from error
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"write an address or a network, 10.0.0.1 or 10.0.0.0/24: {error}") from error
    return value


Size = Annotated[int, BeforeValidator(parse_size)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Wait = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_positive)]
Listen = Annotated[str, BeforeValidator(_listen)]
Label = Annotated[str, _written_like(LABEL, "letters, digits, dots, dashes and underscores only, at most 64")]
Token = Annotated[str, _written_like(TOKEN, "is not the name of a header field")]
HostName = Annotated[
    str, _written_like(HOST_NAME, 'write a host name without scheme, port or "*"'), AfterValidator(str.lower)
]
Authority = Annotated[str, _written_like(AUTHORITY, "write HOST or HOST:PORT")]
WebOrigin = Annotated[str, _written_like(WEB_ORIGIN, 'write "*" or one origin, "https://player.example"')]
Parameter = Annotated[str, _written_like(VISIBLE, "write the parameter's name as it stands in a URL")]
Names = Annotated[tuple[Parameter, ...], Field(strict=False)]
PathPattern = Annotated[str, _written_like(PATH, 'write a path that begins with "/" or "*"')]
ProbePath = Annotated[str, _written_like(re.compile(r"/[\x21-\x7e]*"), 'write a path that begins with "/"')]
Url = Annotated[str, AfterValidator(_url)]
Network = Annotated[str, AfterValidator(_network)]
Congestion = Annotated[str, _written_like(re.compile(rf"(?:{LABEL.pattern})?"), "write the kernel's name for it: bbr")]
Listens = Annotated[tuple[Listen, ...], Field(strict=False)]


class Section(BaseModel):
    """An unknown key is an error, a value of another type too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SocketsSection(Section):
    """How the kernel sends and receives on some of the sockets; what is left out is as for all of them."""

    congestion_control: Congestion | None = Field(
        None, description='how they send; unless set, as for all, and so are the others here; "" = as the kernel does'
    )
    receive_buffer: Size | None = Field(None, description="bytes; 0 = the kernel's own, which grows with the path")
    send_buffer: Size | None = Field(None, description="the same towards the other end")
    notsent_lowat: Size | None = Field(None, description="unsent bytes that the kernel takes ahead; 0 = its own choice")
    max_pacing_rate: Size | None = Field(
        None, description="bytes a second that a connection sends at most; 0 = no bound"
    )
