"""What CI lets pass: a skip has leave, and the leave a reason."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
_, *LINES = (ROOT / ".ci/allowed-skips").read_text().splitlines()


def test_each_skip_that_is_allowed_has_its_reason_before_it_and_is_one_of_some_test() -> None:
    """CI looks for each line in a skip's reason: an empty one would be in all of them."""
    assert all(map(str.strip, LINES))
    told = [line.startswith("# ") for line in LINES]
    assert told == [True, False] * (len(LINES) // 2)
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    assert not [line for line in LINES[1::2] if line not in tests]
