"""What players tell of themselves, as metrics: bounded, whatever they say."""

import os

from prometheus_client.parser import text_string_to_metric_families

from edge.observe.experience import Experience, ExperienceMeters
from edge.observe.meters import MAX_SITES, Meters
from edge.observe.render import Scrape
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file


def series(fd: int) -> dict[str, float]:
    text = Scrape([SlotReader(fd)]).render().decode()
    return {  # without what starts at 0
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("edge_cmcd") and sample.value
    }


def test_only_what_was_said_is_counted() -> None:
    fd = create_slot_file("a")
    slots = SlotWriter(fd)
    players = ExperienceMeters(Meters(slots))
    players.told("films", Experience())
    assert series(fd) == {"edge_cmcd_requests_total[('site', 'films'), ('version', '1')]": 1.0}
    players.told("films", Experience(2, "live", True, True, True, 1.0, 125e3, 1e9, None))
    found = series(fd)
    by_stream = "[('site', 'films'), ('stream', 'live')]"
    for name in ("buffer_starvation_total", "rebuffer_events_total", "startup_requests_total"):
        assert found[f"edge_cmcd_{name}{by_stream}"] == 1
    assert found["edge_cmcd_buffer_length_seconds_bucket[('le', '1.0'), ('stream', 'live')]"] == 1
    assert "edge_cmcd_buffer_length_seconds_bucket[('le', '0.5'), ('stream', 'live')]" not in found
    assert found["edge_cmcd_measured_throughput_bytes_per_second_sum[('stream', 'live')]"] == 125e3
    requested = "edge_cmcd_requested_throughput_bytes_per_second_bucket[('le', '{}'), ('stream', 'live')]"
    assert requested.format("125000000.0") not in found
    assert found[requested.format("+Inf")] == 1
    assert not any("encoded" in name for name in found)
    os.close(fd)


def test_sites_beyond_the_bound_are_one() -> None:
    fd = create_slot_file("a")
    slots = SlotWriter(fd)
    players = ExperienceMeters(Meters(slots))
    for number in range(MAX_SITES + 50):
        players.told(f"site{number}", Experience(starved=True))
    found = series(fd)
    assert found["edge_cmcd_buffer_starvation_total[('site', 'other'), ('stream', 'unknown')]"] == 50
    assert len(found) == 2 * (MAX_SITES + 1)
    os.close(fd)
