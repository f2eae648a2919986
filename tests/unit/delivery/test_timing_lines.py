"""Server-Timing is told with a share of the answers."""

import random
from pathlib import Path

import pytest

from edge.delivery.answer import HIT, Wording, timing_lines
from edge.policy.rules import SiteRules
from tests.support.volumes import open_volume, put

LINE = b"Server-Timing: cdn-cache;desc=HIT\r\n"


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.1, 60, 145), (1.0, 1000, 1000)])
def test_a_share_of_the_answers_has_it(tmp_path: Path, share: float, least: int, most: int) -> None:
    record = put(open_volume(tmp_path), "/a", 1, 1000)
    random.seed(20261124)
    rules = SiteRules(server_timing=share)
    told = [timing_lines(record, HIT, float(second), Wording(), rules) for second in range(1000)]
    assert least <= sum(LINE in lines for lines in told) <= most
