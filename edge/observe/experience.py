"""What players tell of themselves (CMCD), counted: the only view of a stall that an edge has."""

from dataclasses import dataclass

from edge.observe.meters import Histogram, Meters


@dataclass(frozen=True, slots=True)
class Experience:
    """One request's telling. Seconds, bytes a second; None where the player did not say."""

    version: int = 1
    stream: str = "unknown"  # vod, live, unknown
    starved: bool = False  # its buffer ran dry since its last request
    rebuffering: bool = False
    starting: bool = False
    buffer_seconds: float | None = None
    measured: float | None = None
    requested: float | None = None
    encoded: float | None = None


class ExperienceMeters:
    """Histograms go by kind of stream alone: by site they would be thousands of series."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def told(self, site: str, player: Experience) -> None:
        """One request that told something."""
        meters, stream = self._meters, player.stream
        site = meters.bounded(site)
        meters.count("edge_cmcd_requests_total", site, f"{player.version}")
        if player.starved:
            meters.count("edge_cmcd_buffer_starvation_total", site, stream)
        if player.rebuffering:
            meters.count("edge_cmcd_rebuffer_events_total", site, stream)
        if player.starting:
            meters.count("edge_cmcd_startup_requests_total", site, stream)
        self._observe("edge_cmcd_buffer_length_seconds", stream, player.buffer_seconds)
        self._observe("edge_cmcd_measured_throughput_bytes_per_second", stream, player.measured)
        self._observe("edge_cmcd_requested_throughput_bytes_per_second", stream, player.requested)
        self._observe("edge_cmcd_encoded_bitrate_bytes_per_second", stream, player.encoded)

    def _observe(self, metric: str, stream: str, value: float | None) -> None:
        if value is None:
            return
        histogram = self._histograms.get((metric, stream))
        if histogram is None:
            histogram = self._histograms[metric, stream] = Histogram(self._meters.slots, metric, stream)
        histogram.observe(value)
