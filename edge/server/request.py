"""A parsed request, as a handler sees it."""

from typing import Final

from edge.server.incoming import IncomingBody

# The fields by which one request is answered otherwise than another for the same target.
SPECIAL: Final = frozenset(
    b"cache-control pragma range if-range if-match if-none-match if-modified-since if-unmodified-since "
    b"cmcd-session cmcd-request cmcd-object cmcd-status".split()
)


class Request:
    """One request's head, and its body where it has one. `fields` are as received, OWS at the end included."""

    __slots__ = (
        "_first",
        "body",
        "connection",
        "fields",
        "host",
        "keep_alive",
        "method",
        "minor",
        "peer",
        "plain",
        "received_at",
        "secure",
        "target",
        "vouched",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        minor: int,
        fields: list[tuple[bytes, bytes]],
        first: dict[bytes, bytes],
        keep_alive: bool,
        plain: bool,
        received_at: float,
        peer: str,
        secure: bool,
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor  # of HTTP/1.minor: 0 or 1
        self.fields = fields
        self._first = first  # lower-case name -> value of the first field of that name
        self.host = first.get(b"host")  # checked; None only in HTTP/1.0
        self.keep_alive = keep_alive  # what the client wants; the server may still close
        self.plain = plain  # no field of it is one of `SPECIAL`: most questions below need not be asked
        self.received_at = received_at  # monotonic, when its last byte came
        self.peer = peer  # the client's IP address; "" on a Unix socket
        self.secure = secure
        self.body: IncomingBody | None = None
        self.vouched: object  # set by who admits edges only: what this one says of the request behind it
        self.connection: object = None  # opaque: the same object for all requests of one connection

    def __repr__(self) -> str:
        path, question, _ = self.target.partition(b"?")  # what follows may be a token, and this goes into logs
        return f"<Request {self.method!r} {path + question!r} 1.{self.minor} fields={len(self.fields)}>"

    def get(self, name_lower: bytes) -> bytes | None:
        """The value of the first field of this name."""
        return self._first.get(name_lower)

    def get_all(self, name_lower: bytes) -> list[bytes]:
        """The values of all fields of this name, in order."""
        if name_lower not in self._first:
            return []
        return [value.rstrip() for name, value in self.fields if name.lower() == name_lower]

    @property
    def demanding(self) -> bool:
        """Does it say what it wants of caches (RFC 9111 sections 5.2.1 and 5.4)?"""
        first = self._first
        return not self.plain and (b"cache-control" in first or b"pragma" in first)

    @property
    def telling(self) -> bool:
        """Does its player tell of itself in fields (CTA-5004)?"""
        first = self._first
        return not self.plain and (
            b"cmcd-session" in first or b"cmcd-request" in first or b"cmcd-object" in first or b"cmcd-status" in first
        )

    @property
    def conditional(self) -> bool:
        """Does it carry a precondition (RFC 9110 section 13.1; If-Range is judged with Range)?"""
        first = self._first
        return not self.plain and (
            b"if-none-match" in first
            or b"if-modified-since" in first
            or b"if-match" in first
            or b"if-unmodified-since" in first
        )


class RequestWithBody(Request):
    """Its connection stays only if all of the body has come: what still comes of it is no request."""

    __slots__ = ("_asked_to_stay",)

    @property
    def keep_alive(self) -> bool:
        return self._asked_to_stay and (self.body is None or self.body.complete)

    @keep_alive.setter
    def keep_alive(self, asked: bool) -> None:
        self._asked_to_stay = asked
