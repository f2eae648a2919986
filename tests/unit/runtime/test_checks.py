"""Files that a configuration names are tried before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from edge.cli.main import main
from edge.config.schema import Settings
from edge.runtime.checks import wrong_files


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"origin": {"keys_file": "{}/none"}}, "origin.keys_file"),
        ({"admission": {"keys_file": "{}/short"}}, "admission.keys_file"),
        ({"origin": {"ca_file": "{}/none"}}, "origin.ca_file"),
        ({"origin": {"client_cert": "{}/none"}}, "origin.client_cert"),
        ({"origin": {"url": "https://b", "s3_region": "r", "s3_credentials": "{}/none"}}, "origin.s3_credentials"),
        ({"origin": {"url": "https://b", "s3_region": "r", "s3_credentials": "{}/short"}}, "origin.s3_credentials"),
    ],
)
def test_a_file_that_does_not_serve_is_said_once_with_its_field(
    tmp_path: Path, raw: dict[str, dict[str, str]], field: str
) -> None:
    (tmp_path / "short").write_text("one two")
    here: dict[str, Any] = {
        section: {name: value.format(tmp_path) for name, value in said.items()} for section, said in raw.items()
    }
    assert [wrong.field for wrong in wrong_files(Settings.model_validate(here))] == [field]


def test_a_file_that_is_not_there_is_said_with_its_line_and_what_should_be_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[origin]\nurl = "http://a"\n[admission]\nkeys_file = "/nowhere/edges.keys"\n')
    assert main(["check-config", str(file)]) == 1
    said = capsys.readouterr().err
    assert "line 4: admission.keys_file = '/nowhere/edges.keys': cannot be read: No such file or directory; " in said
    assert 'write "ID SECRET" a line' in said
    assert "Errno" not in said


def test_a_file_of_one_member_is_said_of_it_and_one_of_all_members_only_of_the_origin(tmp_path: Path) -> None:
    shared, own = str(tmp_path / "shared"), str(tmp_path / "own")
    raw = {
        "origin": {"ca_file": shared},
        "upstream": [
            {"url": "https://a"},
            {"url": "https://b", "ca_file": own},
            {"url": "https://c", "client_cert": own},
        ],
    }
    told = [(wrong.field, wrong.value) for wrong in wrong_files(Settings.model_validate(raw))]
    assert told == [("origin.ca_file", shared), ("upstream.ca_file", own), ("upstream.client_cert", own)]


def test_credentials_of_one_bucket_are_said_of_it_and_those_of_all_of_the_origin_once(tmp_path: Path) -> None:
    shared, own = str(tmp_path / "shared"), str(tmp_path / "own")
    usual = [{"url": f"https://{name}", "s3_region": "r"} for name in "ab"]
    raw = {
        "origin": {"s3_credentials": shared},
        "upstream": [*usual, {"url": "https://c", "s3_region": "r", "s3_credentials": own}],
    }
    told = [(wrong.field, wrong.value) for wrong in wrong_files(Settings.model_validate(raw))]
    assert told == [("origin.s3_credentials", shared), ("upstream.s3_credentials", own)]


def test_files_that_serve_are_not_mentioned(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one " + "1" * 32)
    raw = {"origin": {"keys_file": str(keys)}, "admission": {"keys_file": str(keys)}}
    assert wrong_files(Settings.model_validate(raw)) == []
    assert wrong_files(Settings()) == []
