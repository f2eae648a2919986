"""Errors that cross rooms: one root, with its source, whether a retry can help, and the status a client gets."""

from edge.words import Reason, Source


class EdgeError(Exception):
    """Root of everything that the edge raises on purpose."""

    source: Source = Source.INTERNAL
    retryable: bool = False
    status: int = 500
    reason: Reason = Reason.INTERNAL


class BadRequest(EdgeError):
    """A client's message breaks HTTP or a limit of ours; `status` is what it is told."""

    source = Source.CLIENT
    status = 400

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class OriginError(EdgeError):
    """An upstream could not give what was asked; `reason` says how it failed."""

    source = Source.ORIGIN
    status = 502
    retryable = True
    spent = False  # it has had all its tries, wherever: nobody begins them anew
    relayed = False  # it was said by whom the member had asked: others would ask the same

    def __init__(self, reason: Reason, detail: str = "", *, retryable: bool | None = None) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        if retryable is not None:
            self.retryable = retryable
        if reason in _TIMEOUTS:
            self.status = 504
        elif reason in _OVERLOADED:
            self.status = 503


_TIMEOUTS = frozenset({Reason.CONNECT_TIMEOUT, Reason.FIRST_BYTE_TIMEOUT, Reason.STALLED})
_OVERLOADED = frozenset({Reason.QUEUE_FULL, Reason.QUEUE_TIMEOUT, Reason.KEEPER_DOWN})


class StoreError(EdgeError):
    """The disk or the index failed; never a reason to fail a request that can be served without them."""

    reason = Reason.STORE_FAILED


class IndexFull(StoreError):
    """The index has no page left in its map: something must leave first."""


class NotAdmitted(StoreError):
    """The store will not have it today: the disk's bytes for writing are to be kept for what is wanted more."""


class FormatUnknown(StoreError):
    """A file on disk has a format that this version does not read; the text says which and what to do."""


class VolumeBusy(StoreError):
    """Another process keeps this cache directory; the text names its pid."""


def why(error: Exception) -> str:
    """The system's reason alone: what is named beside it need not be named twice, with a number before it."""
    said = error.strerror if isinstance(error, OSError) and type(error).__module__ == "builtins" else None
    return said or str(error)


class ConfigError(EdgeError):
    """What an operator wrote cannot be used: field, value, hint (and line, where there is one)."""

    def __init__(self, field: str, value: object, hint: str, line: int | None = None) -> None:
        self.field, self.value, self.hint, self.line = field, value, hint, line
        where = f"line {line}: " if line else ""
        super().__init__(f"{where}{field} = {value!r}: {hint}")
