"""What waits behind each listening address: delivery itself, or one who admits only edges before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.clock import Clock
from edge.config.schema import Settings
from edge.delivery.admitting import Admitting
from edge.delivery.story import Delivery
from edge.observe.meters import Meters
from edge.runtime import convert
from edge.server.exchange import Handler
from edge.server.tls import Certificates, make_server_context
from edge.words import Refusal


@dataclass(frozen=True, slots=True)
class Door:
    """Who answers at one address, and how TLS is spoken where it is."""

    handler: Handler
    tls: Certificates | None


class Doors:
    """In the order of `Settings.listeners`. Where nothing is asked for, nothing stands before delivery."""

    def __init__(self, settings: Settings, delivery: Delivery, meters: Meters, clock: Clock, runtime_dir: str) -> None:
        said = settings.admission
        self._settings = settings
        certs = convert.server_settings(settings).tls
        self._open = Door(delivery, make_server_context(certs) if certs else None)
        self._guarded = self._open
        admission = convert.admission(settings, runtime_dir)
        if admission is not None:

            def count(refusal: Refusal) -> None:
                meters.count("edge_admission_refused_total", refusal.value)

            client_ca = Path(said.client_ca) if said.client_ca else None
            tls = make_server_context(certs, client_ca) if certs else None
            self._guarded = Door(Admitting(delivery, admission, said.sites, clock, count), tls)

    def each(self) -> Iterator[Door]:
        only = self._settings.admission.listen
        for _, address, _ in self._settings.listeners:
            yield self._guarded if not only or address in only else self._open
