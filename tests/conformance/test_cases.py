"""Every case of the tables holds before a real edge, all of them side by side."""

from pathlib import Path

import pytest

from tests.conformance.cases.all import CASES
from tests.conformance.origin import scripted_origin
from tests.conformance.runner import run_all
from tests.support.edgeproc import running_edge


@pytest.mark.parametrize("profile", ["rfc9111", "video"])
async def test_every_case_holds(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Yekaterinburg")  # the edge's: dates are GMT, wherever it stands
    cases = [case for case in CASES if profile == "rfc9111" or case.video]
    # The origin counts what it is asked; a plain cache never asks twice, whatever is set.
    (file := tmp_path / "edge.toml").write_text("[origin]\nhedge = false\n" if profile == "video" else "")
    flags = ("--profile", profile, "--config", str(file))
    async with scripted_origin() as origin, running_edge(tmp_path / "cache", origin.url, *flags) as edge:
        wrong = await run_all(cases, edge.url, origin)
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


def test_ids_are_told_apart() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 300
