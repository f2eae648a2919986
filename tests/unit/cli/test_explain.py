"""`edge explain`: what a URL means, told without a server."""

from pathlib import Path

import pytest

from edge.cli.main import main
from edge.config.load import load_settings
from edge.runtime.explaining import explain
from edge.runtime.standing import asked_of

CONFIG = """
[origin]
url = "https://origin.example:8443/base"
host = "films.example"
[[site]]
name = "films"
hosts = ["films.example"]
drop_params = ["sid"]
forward_fields = ["X-Pass"]
[[site.rule]]
path = "/live/**"
negative_ttl = "2s"
[site.rule.kinds.segment]
ttl = "1h"
[[site.rule]]
path = "/live/x*"
[[site]]
name = "api"
hosts = ["api.example"]
profile = "rfc9111"
"""


def told(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, str]:
    assert main(["explain", *args]) == 0
    return {line[:10].strip(): line[10:] for line in capsys.readouterr().out.splitlines()}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG)
    return str(path)


def test_a_url_is_told_with_its_site_rule_kind_key_and_what_would_be_asked(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "--config", config, "http://FILMS.example:8080/live/x/1.m4s?sid=5&a=1")
    assert found["site"].startswith("films (profile video; by its host")
    assert found["rule"] == "1: path /live/**"
    assert (found["kind"], found["key"]) == ("segment", "films/live/x/1.m4s?a=1")
    assert "1h (default of kind segment)" in found["fresh"]
    assert "negative_ttl = 2.0" in found["differs"]
    assert found["fresh"].endswith("set by rule 1: path /live/**")
    assert found["errors"].startswith("404 and 410 for 2s (1s beside a live playlist) at most")
    assert found["upstream"] == "https://origin.example:8443 (origin)"
    assert "then" not in found
    assert found["asks"] == "GET /base/live/x/1.m4s?a=1"
    assert "Host: films.example" in found["with"]
    assert found["passes"].endswith("X-Pass")


def test_where_no_rule_matches_the_sites_own_hold(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--config", config, "http://films.example/vod/a.m3u8")
    assert found["rule"].startswith("none")
    assert "a live one for half its period" in found["fresh"]


def test_a_plain_site_guesses_instead_of_having_defaults(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--config", config, "http://api.example/a?sid=1")
    assert found["key"] == "api/a?sid=1"
    assert "10% of the time since Last-Modified" in found["fresh"]
    assert found["passes"].endswith("every end-to-end field")
    assert found["differs"] == "nothing from its profile"


def test_flags_will_do_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--profile", "rfc9111", "--origin", "http://o", "http://any.example/")
    assert found["site"].startswith("default (profile rfc9111; the first one")
    assert found["upstream"] == "http://o:80 (origin)"
    assert "none yet" in told(capsys, "http://any.example/")["upstream"]


TIERS = """
[[upstream]]
url = "https://shield1.example"
role = "shield"
[[upstream]]
url = "https://shield2.example"
role = "shield"
[[upstream]]
url = "https://origin.example/base"
host = "films.example"
[[site]]
name = "films"
[site.kinds.mp4]
ttl = "2h"
"""


def test_where_a_default_comes_from_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edge.toml").write_text(TIERS)
    config = str(tmp_path / "edge.toml")
    assert told(capsys, "--config", config, "http://a/x.mp4")["fresh"].endswith(
        "2h (default of kind mp4); set by site films"
    )
    assert told(capsys, "--config", config, "http://a/x.ts")["fresh"].endswith("set by profile video")


def test_who_would_be_asked_first_goes_by_the_key_and_the_others_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edge.toml").write_text(TIERS)
    config, firsts = str(tmp_path / "edge.toml"), set()
    for number in range(12):
        found = told(capsys, "--config", config, f"http://any.example/{number}.ts")
        first = found["upstream"]
        firsts.add(first)
        assert found["with"].startswith(f"Host: {first.removeprefix('https://').partition(':')[0]};")
        assert found["asks"] == f"GET /{number}.ts"
        last = "origin.example:443/base (origin), where it fails"
        assert found["then"].endswith(last)
        assert found["then"].removesuffix(f", {last}") != first.removeprefix("https://")
    assert firsts == {"https://shield1.example:443 (shield)", "https://shield2.example:443 (shield)"}


def test_explain_and_a_running_server_agree_on_whom_to_ask(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(TIERS)
    settings = load_settings(tmp_path / "edge.toml", {})
    for number in range(12):
        said = dict(explain(settings, f"http://any.example/{number}.ts"))
        asked = asked_of(settings, said["key"].encode(), {})
        assert said["upstream"] == f"https://{asked[0]['member']} (shield)"
        assert [member["member"] in said["then"] for member in asked[1:]] == [True, True]


def test_which_upstream_a_url_goes_to_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edge.toml").write_text(
        '[origin]\nurl = "http://o.example"\n[[upstream]]\nurl = "http://f.example"\ngroup = "films"\n'
        '[[site]]\nname = "a"\nupstream = "films"\n[[site.rule]]\npath = "/live/**"\nupstream = "origin"\n'
    )
    config = str(tmp_path / "edge.toml")
    assert told(capsys, "--config", config, "http://a/x.ts")["upstream"] == "http://f.example:80 (origin of films)"
    assert told(capsys, "--config", config, "http://a/live/x.ts")["upstream"] == "http://o.example:80 (origin)"


@pytest.mark.parametrize("url", ["films.example/a", "ftp://a/b", "http:///a", "http://a b/"])
def test_what_is_no_url_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url]) == 2
    assert "URL" in capsys.readouterr().err
