"""What the room reports: one count per event, for whoever keeps metrics."""

from enum import StrEnum
from typing import Protocol


class Event(StrEnum):
    """Something that happened to a connection; a metric label."""

    ACCEPTED = "accepted"
    CLOSED = "closed"
    ACCEPT_PAUSED = "accept_paused"
    NO_DESCRIPTORS = "no_descriptors"
    HANDSHAKE_FAILED = "handshake_failed"
    NO_PROXY_HEADER = "no_proxy_header"
    BAD_REQUEST = "bad_request"
    HEAD_TIMEOUT = "head_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    SLOW_READER = "slow_reader"
    CLIENT_LEFT = "client_left"
    BODY_BROKEN = "body_broken"
    HANDLER_FAILED = "handler_failed"
    DRAIN_CUT = "drain_cut"


class Observer(Protocol):
    """Told of every event; must be quick and must not raise."""

    def count(self, event: Event) -> None: ...


class Unobserved:
    """For those who do not want to know."""

    def count(self, event: Event) -> None:
        pass
