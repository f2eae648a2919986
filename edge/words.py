"""The enums that every room shares: one word per concept, spelled once."""

from enum import Enum, StrEnum
from typing import Final

SECONDS: Final = 1.0
MINUTES: Final = 60.0
HOURS: Final = 3600.0
DAYS: Final = 86400.0
KIB: Final = 1024
MIB: Final = 1024 * 1024
GIB: Final = 1024 * 1024 * 1024
ORIGIN: Final = "origin"  # the upstream of sites that name none; metrics call it so


class Role(StrEnum):
    """What a child process is."""

    WORKER = "worker"
    KEEPER = "keeper"


class Kind(StrEnum):
    """What an object is to a player; defaults and metrics go by it."""

    PLAYLIST = "playlist"
    MANIFEST = "manifest"
    INIT = "init"
    SEGMENT = "segment"
    PART = "part"
    MP4 = "mp4"
    KEY = "key"
    SUBTITLE = "subtitle"
    OTHER = "other"


class CacheStatus(StrEnum):
    """How the cache answered, in nginx's vocabulary; `Cache-Status` (RFC 9211) maps from it."""

    HIT = "hit"
    MISS = "miss"
    EXPIRED = "expired"
    STALE = "stale"
    UPDATING = "updating"
    REVALIDATED = "revalidated"
    BYPASS = "bypass"


class Reason(StrEnum):
    """Why a request could not be answered as asked; the `detail` of Cache-Status and a metric label."""

    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    STALLED = "stalled"
    TRUNCATED = "truncated"
    BAD_RESPONSE = "bad_response"
    SURPLUS_BYTES = "surplus_bytes"
    OBJECT_CHANGED = "object_changed"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    NOT_ADMITTED = "not_admitted"  # a shield or a sibling refuses our requests
    KEEPER_DOWN = "keeper_down"
    STORE_FAILED = "store_failed"
    CORRUPT = "corrupt"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Forward(StrEnum):
    """Why a request went on to the origin: `fwd` of Cache-Status (RFC 9211 section 2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


class Source(StrEnum):
    """Whose fault an error is."""

    CLIENT = "client"
    ORIGIN = "origin"
    INTERNAL = "internal"


class Eviction(StrEnum):
    """Why something left the cache; a metric label."""

    CAPACITY = "capacity"
    TTL = "ttl"
    PURGE = "purge"
    CORRUPT = "corrupt"
    DISK_ERROR = "disk_error"
    REPLACED = "replaced"
    INVALIDATED = "invalidated"  # an unsafe request has changed it (RFC 9111 section 4.4)


class Damage(StrEnum):
    """What is wrong with something stored; a metric label. Its object is fetched again."""

    CORRUPT = "corrupt"  # bytes without their checksum
    TRUNCATED = "truncated"  # a pack that ends early, or is gone
    STORE_FAILED = "store_failed"  # the disk does not give it
    INDEX = "index"  # a row of the index without its checksum
    INDEX_PAGES = "index_pages"  # pages of an index that make no index: it has been rebuilt
    JOURNAL = "journal"  # a journal with a bad entry, or without its end; found by a rebuild or the scrubber
    PURGES = "purges"  # an entry of the log of purges; counted at a start


class Pending(Enum):
    """The one value that says: not yet, you will be called."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING


class Refusal(StrEnum):
    """Why a request was not admitted; a metric's label."""

    NO_PROOF = "no_proof"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    SKEW = "skew"
    SIGNATURE = "signature"
    REPLAY = "replay"
    HOPS = "hops"
