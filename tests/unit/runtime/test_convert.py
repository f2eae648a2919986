"""Every setting reaches the room that it is for."""

from dataclasses import asdict, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.clock import FakeClock
from edge.config.load import ConfigErrors, require_origin
from edge.config.origins import GroupSection, OriginSection
from edge.config.schema import Settings
from edge.delivery.serving import DeliverySettings
from edge.origin.group import MemberRole
from edge.origin.settings import OriginSettings
from edge.origin.sigv4 import S3Settings, S3Signer
from edge.origin.telling import PassSigner
from edge.policy.rules import DEFAULTS, SiteRules
from edge.runtime import convert
from edge.server.settings import ServerSettings, TlsCert
from edge.sockets import SocketOptions
from edge.store.eviction import Policy
from edge.words import Kind

URL = {"origin": {"url": "http://o"}}


def test_the_defaults_of_the_configuration_are_those_of_the_rooms() -> None:
    settings = Settings.model_validate(URL)
    assert convert.server_settings(settings) == ServerSettings()
    assert convert.origin_settings(settings) == OriginSettings("http://o")
    assert convert.site_rules(settings) == (SiteRules(),)
    assert convert.delivery_settings(settings) == DeliverySettings()
    named = Settings.model_validate({"site": [{"name": "default"}]})
    assert convert.site_rules(named) == (SiteRules(),)


def of_origin_sockets(settings: Settings) -> SocketOptions:
    return convert.origin_settings(settings).sockets


def of_player_sockets(settings: Settings) -> SocketOptions:
    return convert.socket_options(settings.server)


CASES = [
    ("server", "idle_timeout", "7s", convert.server_settings, "idle_timeout", 7),
    ("server", "head_timeout", "7s", convert.server_settings, "head_timeout", 7),
    ("server", "handshake_timeout", "7s", convert.server_settings, "handshake_timeout", 7),
    ("server", "max_connections", 7, convert.server_settings, "max_connections", 7),
    ("server", "max_requests", 7, convert.server_settings, "max_requests", 7),
    ("server", "max_head", "32KiB", convert.server_settings, "max_head", 32768),
    ("server", "max_line", "4KiB", convert.server_settings, "max_line", 4096),
    ("server", "max_fields", 50, convert.server_settings, "max_fields", 50),
    ("server", "slow_reader", "1KiB", convert.server_settings, "min_drain_rate", 1024),
    ("server", "node", "n", convert.delivery_settings, "node", "n"),
    ("cache", "size", "1GB", convert.volume_settings, "size_bytes", 10**9),
    ("server", "proxy_protocol_from", ["10.0.0.1"], convert.server_settings, "proxies", (ip_network("10.0.0.1"),)),
    ("cache", "slice_size", "2MiB", convert.volume_settings, "slice_size", 2**21),
    ("cache", "index_dir", "/i", convert.volume_settings, "index_dir", Path("/i")),
    ("cache", "policy", "lru", convert.volume_settings, "policy", Policy.LRU),
    ("cache", "daily_writes", 10**12, convert.volume_settings, "daily_writes", 10**12),
    ("cache", "min_free", 0.1, convert.volume_settings, "min_free_ratio", 0.1),
    ("origin", "url", "http://x", convert.origin_settings, "url", "http://x"),
    ("origin", "host", "h:8", convert.origin_settings, "host_header", "h:8"),
    ("origin", "server_name", "S", convert.origin_settings, "sni", "s"),
    ("origin", "ca_file", "c", convert.origin_settings, "ca_file", "c"),
    ("origin", "verify", False, convert.origin_settings, "verify", False),
    ("origin", "client_cert", "c", convert.origin_settings, "client_cert", "c"),
    ("origin", "connect_timeout", "7s", convert.origin_settings, "connect_timeout", 7),
    ("origin", "first_byte_timeout", "7s", convert.origin_settings, "first_byte_timeout", 7),
    ("origin", "total_first_byte", "7s", convert.origin_settings, "total_first_byte", 7),
    ("origin", "total_first_byte", "7s", convert.delivery_settings, "first_byte_budget", 7.5),
    ("origin", "stall_timeout", "7s", convert.origin_settings, "stall_timeout", 7),
    ("origin", "retries", 7, convert.origin_settings, "retries", 7),
    ("origin", "resume_max", 7, convert.fill_settings, "resume_max", 7),
    ("origin", "max_connections", 7, convert.origin_settings, "max_connections", 7),
    ("origin", "queue", 7, convert.origin_settings, "queue_limit", 7),
    ("origin", "queue_timeout", "7s", convert.origin_settings, "queue_timeout", 7),
    ("origin", "keepalive", "7s", convert.origin_settings, "keepalive", 7),
    ("origin", "hedge", False, convert.origin_settings, "hedge", False),
    ("origin", "far", "7s", convert.origin_settings, "far", 7),
    ("origin", "warm", 7, convert.origin_settings, "warm", 7),
    ("origin", "probe", "/healthz", convert.origin_settings, "probe", "/healthz"),
    ("origin", "probe_interval", "7s", convert.origin_settings, "probe_interval", 7),
    ("origin", "sibling_hits", 7, convert.fill_settings, "sibling_hits", 7),
    ("origin", "sibling_window", "7s", convert.fill_settings, "sibling_window", 7),
    ("server", "max_hops", 7, convert.delivery_settings, "hops_most", 7),
    ("origin", "read_ahead", "1MiB", convert.delivery_settings, "read_ahead", 2**20),
    ("origin", "congestion_control", "bbr", of_origin_sockets, "congestion_control", "bbr"),
    ("origin", "receive_buffer", "1MiB", of_origin_sockets, "receive_buffer", 2**20),
    ("origin", "send_buffer", "1MiB", of_origin_sockets, "send_buffer", 2**20),
    ("origin", "notsent_lowat", "16KiB", of_origin_sockets, "notsent_lowat", 2**14),
    ("origin", "max_pacing_rate", "1MiB", of_origin_sockets, "max_pacing_rate", 2**20),
    ("server", "congestion_control", "bbr", of_player_sockets, "congestion_control", "bbr"),
    ("server", "receive_buffer", "1MiB", of_player_sockets, "receive_buffer", 2**20),
    ("server", "send_buffer", "1MiB", of_player_sockets, "send_buffer", 2**20),
    ("server", "notsent_lowat", "16KiB", of_player_sockets, "notsent_lowat", 2**14),
    ("server", "max_pacing_rate", "1MiB", of_player_sockets, "max_pacing_rate", 2**20),
    ("origin", "parallel_max", 7, convert.fill_settings, "parallel_max", 7),
]
ELSEWHERE = {
    ("server", "listen"), ("server", "listen_plain"), ("server", "workers"), ("server", "drain_timeout"),
    ("server", "retire_timeout"), ("server", "link_capacity"), ("server", "url"),
    ("cache", "dir"), ("origin", "client_key"), ("origin", "selection"), ("origin", "fallback"),
    ("origin", "keys_file"),
    ("origin", "s3_region"), ("origin", "s3_credentials"), ("origin", "s3_profile"),
    ("server", "profile"), ("server", "max_body"),
}  # fmt: skip # the supervisor's own, and what is tested in a pair below


@pytest.mark.parametrize(("section", "key", "value", "into", "name", "expected"), CASES)
def test_a_setting_arrives(section: str, key: str, value: Any, into: Any, name: str, expected: object) -> None:
    raw = {section: {key: value}}
    before, after = into(Settings()), into(Settings.model_validate(raw))
    assert getattr(after, name) == expected
    assert getattr(before, name) != expected


def test_no_setting_is_forgotten() -> None:
    told = {(section, key) for section, key, *_ in CASES} | ELSEWHERE
    for section in ("server", "cache", "origin"):
        keys = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        assert {(section, key) for key in keys} <= told


def test_each_volume_has_its_size_an_index_of_its_own_and_the_bound_and_policy_of_all() -> None:
    cache = {"policy": "lru", "daily_writes": 10**12, "index_dir": "/i"}
    said = [{"path": "/a", "size": "1GB"}, {"path": "/b", "size": "2GB"}]
    settings = Settings.model_validate({"cache": cache, "volume": said})
    first, second = [convert.volume_settings(settings, number) for number in range(2)]
    assert (first.size_bytes, second.size_bytes) == (10**9, 2 * 10**9)
    for volume in (first, second):
        assert (volume.policy, volume.daily_writes) == (Policy.LRU, 10**12), "a bound for each of them"
        assert volume.index_dir is not None
        assert volume.index_dir.parent == Path("/i")
    assert first.index_dir != second.index_dir
    alone = Settings.model_validate({"cache": cache, "volume": said[1:]})
    assert convert.volume_settings(alone, 0) == second, "whatever its number"


def test_a_client_certificate_comes_with_its_key() -> None:
    raw = {"origin": {"client_cert": "c", "client_key": "k"}}
    assert convert.origin_settings(Settings.model_validate(raw)).client_key == "k"


def test_certificates_come_with_their_names() -> None:
    raw = {"tls": [{"cert": "a", "key": "b", "names": ["c"]}, {"cert": "d", "key": "e"}]}
    tls = convert.server_settings(Settings.model_validate(raw)).tls
    assert tls == (TlsCert(Path("a"), Path("b"), ("c",)), TlsCert(Path("d"), Path("e"), ()))


FILMS = [{"url": "http://f", "group": "films"}]
SITE = {
    "name": "s",
    "upstream": "films",
    "hosts": ["H.example", "[::1]"],
    "drop_params": ["d"],
    "token_params": ["t"],
    "forward_fields": ["F"],
    "cors_origin": "https://p.example",
    "preflight_max_age": "1h",
    "negative_ttl": "3s",
    "negative_ttl_live": "2s",
    "honour_cache_control": False,
    "keep_set_cookie": True,
    "profile": "rfc9111",
    "keep_params": ["k"],
    "sort_params": True,
    "forward_params": ["p"],
    "methods": ["GET", "POST"],
    "honour_client_cache_control": True,
    "every_status": True,
    "lists_by_content": False,
    "heuristic_share": 0.2,
    "heuristic_most": "1h",
    "stale_if_unreachable": "1m",
    "exact_ranges": True,
    "retry": False,
    "variants_most": 3,
    "mime_by_path": False,
    "cache_status_key": True,
    "server_timing": True,
    "rule": [{"path": "/live/**", "negative_ttl": "4s", "kinds": {"segment": {"ttl": 9}}}],
    "live": {"least": "2s", "most": "7s", "unknown": "3s", "low_latency": "500ms", "error_periods": 2},
    "kinds": {"mp4": {"stale_while_revalidate": "1m"}, "segment": {"ttl": 5, "stale_if_error": 6}},
}


def test_every_rule_of_a_site_arrives() -> None:
    (rules,) = convert.site_rules(Settings.model_validate({"site": [SITE], "upstream": FILMS}))
    assert rules.hosts == ("h.example", "[::1]")
    assert (rules.drop_params, rules.token_params, rules.forward_fields) == (("d",), ("t",), ("F",))
    assert (rules.cors_origin, rules.preflight_max_age) == ("https://p.example", 3600)
    assert isinstance(rules.preflight_max_age, int)  # goes into a header as it is
    assert (rules.negative_ttl, rules.negative_ttl_live) == (3, 2)
    assert (rules.honour_cache_control, rules.keep_set_cookie) == (False, True)
    assert asdict(rules.live) == {"least": 2, "most": 7, "unknown": 3, "low_latency": 0.5, "error_periods": 2}
    changed = {field.name for field in fields(rules) if getattr(rules, field.name) != getattr(SiteRules(), field.name)}
    assert changed == {field.name for field in fields(rules)}  # a rule that is added shows here as not settable


def test_a_path_has_the_rules_of_the_first_pattern_that_matches_over_those_of_its_site() -> None:
    (rules,) = convert.site_rules(Settings.model_validate({"site": [SITE], "upstream": FILMS}))
    live = rules.at(b"/live/a/b.ts")
    assert (live.negative_ttl, live.negative_ttl_live, live.drop_params) == (4, 2, ("d",))
    assert live.upstream == "films"
    assert (live.defaults[Kind.SEGMENT].ttl, live.defaults[Kind.SEGMENT].stale_if_error) == (9, 6)
    assert rules.at(b"/vod/live/a") is rules


def test_bodies_are_taken_only_where_a_site_allows_methods_with_one() -> None:
    plain = {"server": {"profile": "rfc9111", "max_body": "1KiB"}}
    assert convert.server_settings(Settings.model_validate(plain)).max_body == 1024
    assert convert.server_settings(Settings()).max_body == 0
    posts = {"site": [{"name": "a"}, {"name": "b", "rule": [{"path": "/api/*", "methods": ["POST"]}]}]}
    assert convert.server_settings(Settings.model_validate(posts)).max_body == 64 * 2**20


def test_two_nodes_of_one_name_are_told_apart_by_their_volumes() -> None:
    marks = {convert.delivery_settings(Settings(), secret).mark for secret in (b"a", b"b", b"a")}
    assert len(marks) == 2
    assert all(mark.startswith(b"edge;n=") for mark in marks)


def test_what_a_site_leaves_out_of_a_kind_stays_as_usual() -> None:
    (rules,) = convert.site_rules(Settings.model_validate({"site": [SITE | {"profile": "video"}], "upstream": FILMS}))
    mp4, usual = rules.defaults[Kind.MP4], DEFAULTS[Kind.MP4]
    assert (mp4.ttl, mp4.stale_while_revalidate, mp4.stale_if_error) == (usual.ttl, 60, usual.stale_if_error)
    segment = rules.defaults[Kind.SEGMENT]
    assert (segment.ttl, segment.stale_while_revalidate, segment.stale_if_error) == (5, 0, 6)
    assert rules.defaults[Kind.INIT] == DEFAULTS[Kind.INIT]
    assert set(rules.defaults) == set(DEFAULTS) == set(Kind)


def test_upstreams_are_members_with_the_settings_of_the_origin() -> None:
    raw = {
        "origin": {"connect_timeout": "7s"},
        "upstream": [
            {"url": "http://s", "role": "shield", "weight": 2.0},
            {"url": "https://o", "host": "films.example", "server_name": "o.example"},
        ],
    }
    shield, origin = convert.members(Settings.model_validate(raw))
    assert (shield.origin.url, shield.weight, shield.role) == ("http://s", 2.0, MemberRole.SHIELD)
    assert (origin.origin.url, origin.weight, origin.role) == ("https://o", 1.0, MemberRole.ORIGIN)
    assert (origin.origin.host_header, origin.origin.sni) == ("films.example", "o.example")
    assert shield.origin.connect_timeout == origin.origin.connect_timeout == 7


TWO = {
    "origin": {"url": "http://o", "host": "h", "connect_timeout": "7s", "parallel_max": 9, "total_first_byte": "6s"},
    "upstream": [{"url": "http://f", "group": "films"}, {"url": "http://g", "group": "films"}],
    "group": [
        {
            "name": "films",
            "connect_timeout": "1s",
            "parallel_max": 1,
            "total_first_byte": "9s",
            "selection": "primary-backup",
        }
    ],
}


def test_an_upstream_of_its_own_has_the_settings_of_the_origin_but_for_what_its_group_says() -> None:
    settings = Settings.model_validate(TWO)
    assert settings.groups == ("origin", "films")
    (origin,), films = (convert.members(settings, name) for name in settings.groups)
    assert convert.members(settings) == (origin, *films)
    assert (origin.origin.name, origin.origin.url, origin.origin.host_header) == ("origin", "http://o", "h")
    assert [(one.origin.name, one.origin.url, one.origin.host_header) for one in films] == [
        ("films", "http://f", None),
        ("films", "http://g", None),
    ]
    assert [one.origin.connect_timeout for one in (origin, *films)] == [7, 1, 1]
    assert [one.origin.first_byte_timeout for one in (origin, *films)] == [8, 8, 8]
    assert [convert.fill_settings(settings, name).parallel_max for name in settings.groups] == [9, 1]
    assert [settings.origin_of(name).selection.value for name in settings.groups] == ["rendezvous", "primary-backup"]
    assert convert.delivery_settings(settings).first_byte_budget == 9.5  # no keeper's own budget is longer


def test_each_setting_of_a_group_is_one_of_the_origin_and_holds_instead_of_it() -> None:
    """A key that is added to the table and not to what is made of it shows here."""
    own: dict[str, Any] = {"selection": "least-latency", "fallback": False, "probe": "/p", "hedge": False}
    names = [name for name in GroupSection.model_fields if name != "name"]
    own |= {name: 1 for name in names if name not in own}
    settings = Settings.model_validate({"upstream": FILMS, "group": [{"name": "films", **own}]})
    usual, changed = settings.origin, settings.origin_of("films")
    assert {name for name in OriginSection.model_fields if getattr(usual, name) != getattr(changed, name)} == set(names)
    (member,) = convert.members(settings, "films")
    assert member.origin.probe == "/p"


def test_where_a_file_names_members_of_the_origins_group_its_own_url_is_not_used() -> None:
    named = [{"url": "http://a"}, {"url": "http://b", "group": "films"}]
    settings = Settings.model_validate({"origin": {"url": "http://o"}, "upstream": named})
    assert [one.url for one in settings.upstreams] == ["http://a", "http://b"]


def test_which_upstreams_are_asked_follows_from_sites_and_their_rules() -> None:
    sites = [{"name": "a", "upstream": "films", "rule": [{"path": "/x/**", "upstream": "origin"}]}, {"name": "b"}]
    assert Settings.model_validate({"site": sites[:1], "upstream": FILMS}).groups_asked == ("films", "origin")
    assert Settings.model_validate({"site": sites[1:], "upstream": FILMS}).groups_asked == ("origin",)
    assert Settings.model_validate({"upstream": FILMS}).groups_asked == ("origin",)


def test_a_server_needs_members_in_each_upstream_that_a_site_goes_to() -> None:
    films = {"name": "a", "upstream": "films"}
    require_origin(Settings.model_validate({"site": [films], "upstream": FILMS}))
    with pytest.raises(ConfigErrors, match="say where misses are fetched"):
        require_origin(Settings.model_validate({"site": [films, {"name": "b"}], "upstream": FILMS}))


def test_siblings_are_in_each_group_that_they_serve() -> None:
    own, other = ({"url": f"http://{name}", "role": "sibling"} for name in ("us", "them"))
    films = [own | {"group": "films"}, other | {"group": "films"}, *FILMS]
    raw = {"server": {"url": "http://us"}, "upstream": [*films, own, other, {"url": "http://o"}]}
    settings = Settings.model_validate(raw)
    for group in ("films", "origin"):
        assert len(convert.members(settings, group)) == 2
        assert convert.own(settings, group) == convert.own(settings)
    with pytest.raises(ValidationError, match="in group films: this server's own"):
        Settings.model_validate({"server": {"url": "http://us"}, "upstream": [films[1], *FILMS]})


def test_a_member_trusts_and_shows_what_it_says_itself_and_else_what_the_origin_says() -> None:
    raw = {
        "origin": {"ca_file": "fleet", "client_cert": "us", "client_key": "key", "verify": False},
        "upstream": [
            {"url": "https://a"},
            {"url": "https://b", "ca_file": "", "client_cert": "", "verify": True},
            {"url": "https://c", "ca_file": "other", "client_cert": "pair"},
        ],
    }
    told = [
        (said.origin.ca_file, said.origin.client_cert, said.origin.client_key, said.origin.verify)
        for said in convert.members(Settings.model_validate(raw))
    ]
    # A certificate of its own never goes with the key of another.
    assert told == [("fleet", "us", "key", False), (None, None, None, True), ("other", "pair", None, False)]


def test_an_origin_alone_is_the_only_member_and_nothing_is_none() -> None:
    (only,) = convert.members(Settings.model_validate({"origin": {"url": "http://o", "host": "h"}}))
    assert only.origin == convert.origin_settings(Settings.model_validate({"origin": {"url": "http://o", "host": "h"}}))
    assert convert.members(Settings()) == ()


def test_sockets_of_a_member_and_of_a_listener_have_their_own_options_over_those_of_all() -> None:
    usual = {"congestion_control": "bbr", "send_buffer": "1MiB", "max_pacing_rate": "1MiB"}
    own = {"congestion_control": "", "max_pacing_rate": 0, "notsent_lowat": "16KiB", "receive_buffer": "2MiB"}
    raw = {
        "server": {"listen": [":80", ":81"], "listen_plain": [":82"], **usual},
        "listener": [{"listen": ":81", **own}],
        "origin": usual,
        "upstream": [{"url": "http://a"}, {"url": "http://b", **own}],
    }
    settings = Settings.model_validate(raw)
    as_all = SocketOptions("bbr", 0, 2**20, 0, 2**20)
    otherwise = SocketOptions(None, 2**21, 2**20, 2**14, 0)
    assert [member.origin.sockets for member in convert.members(settings)] == [as_all, otherwise]
    assert convert.listener_options(settings) == (as_all, otherwise, as_all)


@pytest.mark.parametrize("listeners", [["[::]:80"], [":80", ":80"]])
def test_options_are_for_addresses_that_there_are(listeners: list[str]) -> None:
    raw = {"server": {"listen": [":80"]}, "listener": [{"listen": listen} for listen in listeners]}
    with pytest.raises(ValidationError, match=r"no address in listen|two listeners have the address"):
        Settings.model_validate(raw)


@pytest.mark.parametrize(
    "upstream",
    [
        [{"url": "http://a"}, {"url": "http://a"}],
        [{"url": "http://a/x"}, {"url": "http://a:80/x/"}],
        [{"url": "http://a", "client_key": "k"}],
        [{"url": "http://a", "client_key": "k", "client_cert": ""}],
        [{"url": ""}],
        [{"url": "http://a", "weight": 0.0}],
        [{"url": "http://a", "role": "sibling"}],
        [{"url": "http://a", "role": "sibling"}, {"url": "http://o"}],
    ],
)
def test_upstreams_that_cannot_be_are_refused(upstream: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"upstream": upstream})


def test_a_server_is_no_upstream_of_its_own() -> None:
    said = {"url": "http://b:8080", "role": "sibling", "weight": 3.0}
    raw = {
        "server": {"url": "http://b:8080"},
        "upstream": [said, {"url": "http://a", "role": "sibling"}, {"url": "http://o"}],
    }
    settings = Settings.model_validate(raw)
    assert [member.origin.url for member in convert.members(settings)] == ["http://a", "http://o"]
    own = convert.own(settings)
    assert own is not None
    assert (own.identity, own.weight) == (b"b:8080", 3.0)
    assert convert.own(Settings()) is None


def test_only_origins_are_signed_for_s3_and_only_members_of_ours_are_told_of_players(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[films]\naws_access_key_id = A\naws_secret_access_key = B\n")
    raw = {
        "origin": {"s3_credentials": str(file), "s3_profile": "films"},
        "upstream": [
            {"url": "http://s", "role": "shield"},
            {"url": "https://b.s3.example", "s3_region": "eu-north-1"},
            {"url": "https://c.s3.example", "s3_region": "r", "s3_credentials": "theirs", "s3_profile": "series"},
            {"url": "https://o"},
        ],
    }
    shield, bucket, theirs, plain = convert.members(Settings.model_validate(raw))
    assert shield.s3 is None
    assert bucket.s3 == S3Settings("eu-north-1", file, "films")
    assert theirs.s3 == S3Settings("r", Path("theirs"), "series")
    clock = FakeClock()
    assert isinstance(convert.signer(shield, None, clock), PassSigner)
    assert isinstance(convert.signer(bucket, None, clock), S3Signer)
    assert convert.signer(plain, None, clock) is None
