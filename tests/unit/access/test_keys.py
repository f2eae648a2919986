"""Keys in a file: what is refused, and how they are rotated."""

from pathlib import Path

import pytest

from edge.access.keys import LOOK_SECONDS, KeyFile, read_keys
from edge.errors import ConfigError

ONE, TWO = "one " + "1" * 32, "two " + "2" * 32


def test_the_first_key_signs_and_all_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of 2026\n{ONE}\n\n{TWO}\n")
    keys = KeyFile(path)
    assert keys.signing(0.0).id == "one"
    assert [key.id for name in ("one", "two") if (key := keys.find(name, 0.0)) is not None] == ["one", "two"]
    assert keys.find("three", 0.0) is None


@pytest.mark.parametrize("text", ["", "# none", "one short", "one", ONE + " x", f"{ONE}\n{ONE}", "a/b " + "1" * 32])
def test_a_file_that_is_wrong_says_so_without_its_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert "1" * 32 not in str(caught.value)
    with pytest.raises(ConfigError):
        read_keys(tmp_path / "none")


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(ONE)
    keys = KeyFile(path)
    assert keys.signing(0.0).id == "one"
    path.write_text(f"{TWO}\n{ONE}")
    assert keys.signing(LOOK_SECONDS / 2).id == "one"
    assert keys.signing(LOOK_SECONDS * 2).id == "two"
    assert keys.find("one", LOOK_SECONDS * 2) is not None
    path.unlink()
    assert keys.signing(LOOK_SECONDS * 4).id == "two"
    path.write_text("nonsense")
    assert keys.signing(LOOK_SECONDS * 6).id == "two"
    path.write_text(TWO)
    assert keys.find("one", LOOK_SECONDS * 8) is None
