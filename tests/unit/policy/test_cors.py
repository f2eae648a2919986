"""CORS lines, as a browser's script would look for them."""

from edge.policy.cors import cors_lines, preflight_lines
from edge.policy.rules import SiteRules


def fields_of(lines: bytes) -> dict[str, str]:
    assert lines.endswith(b"\r\n")
    pairs = [line.partition(": ")[::2] for line in lines.decode().removesuffix("\r\n").split("\r\n")]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_every_answer_may_be_read_by_a_players_script() -> None:
    found = fields_of(cors_lines(SiteRules()))
    assert found["Access-Control-Allow-Origin"] == "*"
    assert found["Timing-Allow-Origin"] == "*"
    assert found["Cross-Origin-Resource-Policy"] == "cross-origin"
    exposed = found["Access-Control-Expose-Headers"].split(", ")
    assert {"Content-Length", "Content-Range", "Age", "Date", "ETag", "Cache-Status"} <= set(exposed)
    assert "*" not in exposed


def test_a_preflight_allows_what_players_send_for_a_day() -> None:
    found = fields_of(preflight_lines(SiteRules()))
    assert found["Access-Control-Allow-Origin"] == "*"
    assert found["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    allowed = set(found["Access-Control-Allow-Headers"].split(", "))
    assert {"Range", "If-Range", "If-None-Match", "CMCD-Session", "Authorization", "traceparent"} <= allowed
    assert found["Access-Control-Max-Age"] == "86400"


def test_a_site_names_its_own_origin_and_preflight_age() -> None:
    rules = SiteRules(cors_origin="https://play.example", preflight_max_age=600)
    found = fields_of(preflight_lines(rules))
    assert found["Access-Control-Allow-Origin"] == "https://play.example"
    assert found["Access-Control-Max-Age"] == "600"
