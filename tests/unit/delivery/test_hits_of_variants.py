"""Answers that vary, as a worker finds them."""

from types import SimpleNamespace
from typing import Any, cast

from edge.clock import FakeClock
from edge.delivery.places import Home, Places
from edge.delivery.serving import DeliverySettings, Volume
from edge.delivery.story import Delivery
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import request_fields
from edge.policy.variants import selection
from edge.server.exchange import Exchange
from edge.store.record import Flag, Record
from edge.store.variants import variant_name
from edge.words import Kind

SECRET = b"k" * 16


def test_a_hit_counts_for_the_variant_that_is_served_not_only_for_the_index_that_names_it() -> None:
    places = Places([SiteRules()], {0: Home(SECRET)})
    place = places.find(b"h", b"/a.m4s")
    index = Record(
        7, Kind.OTHER, 0, Flag.VARIES, 1, 1 << 20, 0.0, 1e9, 0.0, 0, 0, 0, 0, place.key, place.path, b"",
        b"accept-language", (), b"",
    )  # fmt: skip
    fields = ((b"accept-language", b"ru"),)
    told = request_fields(fields, place.rules)
    variant = variant_name(index, selection((b"accept-language",), told), SECRET)
    touched: list[bytes] = []
    reader = SimpleNamespace(
        lookup={place.name: index, variant: object()}.get,
        lookup_live=lambda _: None,
        touch=lambda name: touched.append(name),
        hello=SimpleNamespace(secret=SECRET),
    )
    volumes = {0: cast(Volume, SimpleNamespace(reader=reader))}
    delivery = Delivery(places, volumes, FakeClock(), DeliverySettings(), lambda _: None)
    request: Any = SimpleNamespace(fields=fields)
    found, record, _ = delivery.find(cast(Exchange, SimpleNamespace(request=request)), place)
    assert record is not None
    assert found.name == variant
    assert touched == [place.name, variant]
