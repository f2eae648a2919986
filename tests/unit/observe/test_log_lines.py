"""A line of the access log: JSON whatever it holds, and nobody's name."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.observe.catalogue import Tier
from edge.observe.lines import AGENT_LIMIT, TARGET_LIMIT, Line, LineWriter, LogFormat
from edge.observe.privacy import SECRETS, Anonymise, Redactor, network_of

LINE = Line(
    1_700_000_000.123, "films", "203.0.113.77", b"GET", b"/a.ts?token=secret&x=1", 1, 206, 100, 0.5, 0.01, "hit",
    "segment", True, False, b"bytes=0-9", b'Agent "x"\n\xff', b"https://u:p@site.example/watch?v=1", None,
    tier="volume",
)  # fmt: skip


def written(line: Line, writer: LineWriter | None = None) -> dict[str, Any]:
    text = (writer or LineWriter()).write(line)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    entry: dict[str, Any] = json.loads(text)
    return entry


def test_a_line_has_all_that_was_noted() -> None:
    assert written(LINE) == {
        "ts": "2023-11-14T22:13:20.123Z",
        "site": "films",
        "client_net": "203.0.113.0",
        "method": "GET",
        "path": "/a.ts?token=***&x=1",
        "status": 206,
        "body_bytes": 100,
        "request_time": 0.5,
        "ttfb": 0.01,
        "cache_status": "hit",
        "tier": "volume",
        "kind": "segment",
        "tls": True,
        "aborted": False,
        "range": "bytes=0-9",
        "ua": 'Agent "x"\n\xff',
        "ua_family": "other",
        "referer_host": "site.example",
    }


def test_what_was_not_sent_is_not_there_and_what_failed_is() -> None:
    entry = written(LINE._replace(range=None, agent=None, referer=b"about:blank", detail="connect_failed"))
    assert not {"range", "ua", "referer_host"} & set(entry)
    assert entry["detail"] == "connect_failed"


@pytest.mark.parametrize(
    ("at", "stamp"),
    [
        (1_700_000_000.0, "2023-11-14T22:13:20.000Z"),
        (1_700_000_000.9994, "2023-11-14T22:13:20.999Z"),
        (1_700_000_000.9996, "2023-11-14T22:13:21.000Z"),
        (0.0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_time_is_utc_to_the_millisecond_also_when_it_steps_back(at: float, stamp: str) -> None:
    writer = LineWriter()
    written(LINE, writer)
    assert written(LINE._replace(time=at), writer)["ts"] == stamp
    assert written(LINE, writer)["ts"] == "2023-11-14T22:13:20.123Z"


def test_the_tier_is_written_as_it_was_told() -> None:
    assert [written(LINE._replace(tier=tier))["tier"] for tier in Tier] == ["volume", "sibling", "shield", "origin"]


def test_long_agents_and_targets_are_cut_after_secrets_were_masked() -> None:
    target = b"/" + b"a" * (TARGET_LIMIT - 8) + b"?token=secret"
    entry = written(LINE._replace(target=target, agent=b"x" * 5000, referer=b"http://h/" + b"r" * 5000))
    assert len(entry["path"]) == TARGET_LIMIT
    assert "secret"[:1] not in entry["path"].partition("=")[2]
    assert len(entry["ua"]) == AGENT_LIMIT
    assert entry["referer_host"] == "h"


anything = st.binary(max_size=60)


@given(anything, anything, anything, anything, st.none() | anything, st.text(max_size=20), st.text(max_size=20))
def test_whatever_outsiders_send_stays_inside_its_strings(
    method: bytes, target: bytes, agent: bytes, referer: bytes, range_: bytes | None, peer: str, detail: str
) -> None:
    line = LINE._replace(
        method=method, target=target, agent=agent, referer=referer, range=range_, peer=peer, detail=detail
    )
    for anonymise in Anonymise:
        entry = written(line, LineWriter(anonymise))
        assert entry["method"] == method.decode("latin-1")
        assert entry["ua"] == agent.decode("latin-1")
        assert entry["status"] == 206
        assert entry["aborted"] is False


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unix:", ""),
        ("203.0.113.77:80", ""),
    ],
)
def test_of_an_address_only_the_network_is_written(address: str, network: str) -> None:
    assert network_of(address) == network
    entry = written(LINE._replace(peer=address))
    assert entry["client_net"] == network
    assert "client" not in entry


def test_hashes_of_a_day_tell_players_apart_and_those_of_two_days_do_not_tell_them() -> None:
    writer = LineWriter(Anonymise.HASH, b"k" * 32)
    day = 86_400.0
    morning = written(LINE._replace(time=20_000 * day), writer)["client_hash"]
    evening = written(LINE._replace(time=20_001 * day - 0.001), writer)["client_hash"]
    assert morning == evening
    assert written(LINE._replace(time=20_001 * day), writer)["client_hash"] != morning
    assert written(LINE._replace(time=20_000 * day, peer="203.0.113.78"), writer)["client_hash"] != morning
    mapped = written(LINE._replace(time=20_000 * day, peer="::ffff:203.0.113.77"), writer)
    assert mapped["client_hash"] == morning
    assert "client" not in mapped
    assert "203" not in mapped["client_hash"]


def test_hashes_agree_among_those_who_share_the_secret_only() -> None:
    def hashed(secret: bytes | None) -> str:
        return str(written(LINE, LineWriter(Anonymise.HASH, secret))["client_hash"])

    assert hashed(b"one") == hashed(b"one")
    assert len({hashed(b"one"), hashed(b"two"), hashed(None), hashed(None)}) == 4


def test_whole_addresses_are_written_only_when_told() -> None:
    assert written(LINE, LineWriter(Anonymise.OFF))["client"] == "203.0.113.77"
    for anonymise in (Anonymise.TRUNCATE, Anonymise.HASH):
        assert "203.0.113.77" not in LineWriter(anonymise).write(LINE)


# -- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "masked"),
    [
        ("/a", "/a"),
        ("", ""),
        ("*", "*"),
        ("/a?x=1&y", "/a?x=1&y"),
        ("/a?token", "/a?token"),
        ("/a?Expires=1&Signature=x&b=2&MD5=q", "/a?Expires=***&Signature=***&b=2&MD5=***"),
        ("/a?x=1;sig=2;y=3", "/a?x=1;sig=***;y=3"),
        ("/a?to%6ben=s&%78=1", "/a?to%6ben=***&%78=1"),
        ("/a?CMCD=bl%3D100%2Cst%3Dv", "/a?CMCD=bl%3D100%2Cst%3Dv"),
        ("/a?hdnts=exp=1~acl=/*~hmac=ab", "/a?hdnts=***"),
        ("/a?x=/token=1", "/a?x=/token=1"),
        ("/md5(abc,123)/x/y.ts", "/md5(***)/x/y.ts"),
        ("/v/hdntl=exp=1~hmac=ab/x.ts?z=1", "/v/hdntl=***/x.ts?z=1"),
        ("/a;token=1/b", "/a;token=***/b"),
        ("/film(1)/a=b.ts", "/film(1)/a=b.ts"),
        ("http://user:pw@h/x", "http://***@h/x"),
    ],
)
def test_secrets_are_masked_wherever_players_put_them_and_nothing_else_is(target: str, masked: str) -> None:
    assert Redactor()(target) == masked


def test_the_names_of_secrets_can_be_chosen() -> None:
    redact = Redactor(("Ticket",))
    assert redact("/a?ticket=1&token=2&TICKET=3") == "/a?ticket=***&token=2&TICKET=***"
    writer = LineWriter(masked=("x",))
    assert written(LINE, writer)["path"] == "/a.ts?token=secret&x=***"


@given(st.lists(st.sampled_from([*sorted(SECRETS), "X", "cmcd"]), max_size=6), st.sampled_from("&;"), st.booleans())
def test_no_secret_survives_in_any_order_or_case(names: list[str], between: str, upper: bool) -> None:
    parts = [f"{name.upper() if upper else name}={'open' if name in ('X', 'cmcd') else 'S3CRET'}" for name in names]
    masked = Redactor()("/a/b.ts?" + between.join(parts))
    assert "S3CRET" not in masked
    assert masked.count("open") == sum(name in ("X", "cmcd") for name in names)


def test_names_that_begin_alike_can_be_chosen_too() -> None:
    assert Redactor(("sig*",))("/a?sig=1&sigma=2&design=3") == "/a?sig=***&sigma=***&design=3"


# -- what only some requests have ----------------------------------------------------------------


def test_what_the_upstream_did_and_what_the_player_told_is_there() -> None:
    line = LINE._replace(
        target=b"/a.ts?CMCD=bl%3D100&x=1",
        name=b"\x01\xff",
        upstream="origin:80",
        upstream_status=200,
        upstream_seconds=0.25,
        cmcd={"bl": 100, "st": "v"},
        trace="0af7651916cd43dd8448eb211c80319c",
    )
    entry = written(line, LineWriter(node="msk1"))
    assert entry["node"] == "msk1"
    assert entry["path"] == "/a.ts?x=1"
    assert entry["key_hash"] == "01ff"
    assert (entry["upstream_addr"], entry["upstream_status"], entry["upstream_time"]) == ("origin:80", 200, 0.25)
    assert entry["cmcd"] == {"bl": 100, "st": "v"}
    assert entry["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        (b"AppleCoreMedia/1.0.0.21A329 (iPhone; U; CPU OS 17_0 like Mac OS X; en_us)", "avplayer"),
        (b"demo/1.0 (Linux;Android 13) AndroidXMedia3/1.4.1", "exoplayer"),
        (b"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 SamsungBrowser/4.0 TV Safari/537.36", "tizen"),
        (b"Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/87.0.4280.88 Safari/537.36", "webos"),
        (b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "chrome"),
        (b"Mozilla/5.0 (Windows NT 10.0) Chrome/120.0 Safari/537.36 Edg/120.0", "edge_browser"),
        (b"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/17.0 Safari/605.1.15", "safari"),
        (b"Mozilla/5.0 (X11; rv:120.0) Gecko/20100101 Firefox/120.0", "firefox"),
        (b"VLC/3.0.18 LibVLC/3.0.18", "vlc"),
        (b"curl/8.5.0", "tool"),
        (b"", "other"),
    ],
)
def test_players_are_told_apart_by_family(agent: bytes, family: str) -> None:
    assert written(LINE._replace(agent=agent))["ua_family"] == family


# -- nginx' combined -----------------------------------------------------------------------------

COMBINED = re.compile(r'^(\S+) - - \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"\n$')


def combined(line: Line, anonymise: Anonymise = Anonymise.TRUNCATE) -> tuple[str, ...]:
    text = LineWriter(anonymise, form=LogFormat.COMBINED).write(line)
    found = COMBINED.match(text)
    assert found is not None, text
    return found.groups()


def test_combined_is_what_nginx_writes() -> None:
    line = LINE._replace(agent=b"Player/1.0", referer=b"https://site.example/watch?v=1&token=s")
    assert combined(line) == (
        "203.0.113.0",
        "14/Nov/2023:22:13:20 +0000",
        "GET /a.ts?token=***&x=1 HTTP/1.1",
        "206",
        "100",
        "https://site.example/watch?v=1&token=***",
        "Player/1.0",
    )


def test_combined_writes_a_dash_for_what_was_not_sent_and_escapes_as_nginx_does() -> None:
    line = LINE._replace(peer="", agent=b'a"b\\c\n\xff', referer=None)
    assert combined(line)[0] == "-"
    assert combined(line)[5:] == ("-", r"a\x22b\x5Cc\x0A\xFF")


@given(anything, anything, anything, anything, st.text(max_size=20))
def test_whatever_outsiders_send_stays_inside_its_quotes(
    method: bytes, target: bytes, agent: bytes, referer: bytes, peer: str
) -> None:
    line = LINE._replace(method=method, target=target, agent=agent, referer=referer, peer=peer)
    assert combined(line)[3:5] == ("206", "100")
