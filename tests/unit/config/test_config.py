"""What operators write: units, errors with line, field, value and hint."""

from pathlib import Path

import pytest

from edge.cli.main import main
from edge.config.load import ConfigErrors, load_settings
from edge.config.units import parse_duration, parse_listen, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10GB", 10**10),
        ("512MiB", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        (4096, 4096),
        ("7", 7),
        ("2tb", 2 * 10**12),
    ],
)
def test_sizes_are_decimal_or_binary(text: object, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["ten", "10XB", -1, "", None, True])
def test_other_sizes_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="10GB"):
        parse_size(text)


@pytest.mark.parametrize(("text", "expected"), [("250ms", 0.25), ("5s", 5), ("10m", 600), ("14d", 1209600), (3, 3)])
def test_durations_have_units(text: object, expected: float) -> None:
    assert parse_duration(text) == expected


def test_other_durations_are_refused() -> None:
    for text in ("5 years", "", None, -1, True):
        with pytest.raises(ValueError, match="250ms"):
            parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[::]:8080", ("::", 8080)),
        (":80", ("::", 80)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("a.b:1", ("a.b", 1)),
    ],
)
def test_listen_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["8080", "a:b", "::1:80", "a:99999", "a:"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"8080|brackets"):
        parse_listen(text)


BAD = """\
[server]
listen = ["nowhere"]
workrs = 2

[cache]
size = "ten"
slice_size = 5000

[[site]]
name = "a"

[[site]]
name = "bad name"
ttl = 5
"""


def test_every_error_is_told_with_line_field_value_and_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(BAD)
    assert main(["check-config", str(path)]) == 1
    said = capsys.readouterr().err
    for text in (
        "line 2: server.listen[0] = 'nowhere': write HOST:PORT",
        "line 3: server.workrs = 2: unknown; did you mean workers?",
        "line 6: cache.size = 'ten': write a size",
        "line 7: cache.slice_size = 5000: must be a multiple of 4096",
        "line 13: site[1].name = 'bad name'",
        "line 14: site[1].ttl = 5: unknown",
    ):
        assert text in said, said


def test_what_is_not_toml_and_what_is_not_there_are_told(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[server\n")
    with pytest.raises(ConfigErrors, match="line 1"):
        load_settings(path)
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


def test_flags_win_over_the_file_and_bad_origins_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[origin]\nurl = "http://a"\n[cache]\nsize = "1GB"\n')
    settings = load_settings(path, {"cache": {"size": "2GB"}, "tls": [{"cert": "c", "key": "k"}]})
    assert settings.cache.size == 2 * 10**9
    assert settings.origin.url == "http://a"
    assert settings.tls[0].cert == "c"
    path.write_text('[origin]\nurl = "gopher://a"\n')
    with pytest.raises(ConfigErrors, match=r"line 2: origin.url"):
        load_settings(path)


def test_the_command_line_knows_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--short"]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["check-config", "--reference"]) == 0
    assert "[server]" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nonsense"])


def test_what_a_file_would_do_is_told_upstream_by_upstream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    members = [("http://f", "films"), ("http://g", "films"), ("http://s", "series")]
    upstreams = "".join(f'[[upstream]]\nurl = "{url}"\ngroup = "{group}"\n' for url, group in members)
    path.write_text(upstreams + '[[site]]\nname = "a"\nupstream = "films"\n[[site]]\nname = "b"\n')
    assert main(["check-config", str(path)]) == 0
    said = capsys.readouterr().out
    assert "  origin    none yet: give it with --origin; films: http://f, http://g; series: http://s" in said
    assert "a (any host) from films; b (any host)\n" in said
    assert "  note      no site goes to upstream series" in said
