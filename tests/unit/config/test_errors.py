"""Everything that is wrong in a configuration is told: line, field, value, and what to do."""

from pathlib import Path

import pytest

from edge.config.load import ConfigErrors, load_settings, with_lines
from edge.errors import ConfigError


def told(tmp_path: Path, text: str) -> str:
    path = tmp_path / "edge.toml"
    path.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load_settings(path)
    return "\n".join(str(error) for error in caught.value.errors)


UPSTREAM = '[[upstream]]\nurl = "http://f"\ngroup = "films"\n'
CASES = [
    ('[sever]\nlisten = [":80"]', "line 1: sever = '{...}': unknown; did you mean server?"),
    ("[cache]\nworkers = 2", "line 2: cache.workers = 2: unknown here; it belongs to [server]"),
    ("[admin]\nxyzzy = 2", "line 2: admin.xyzzy = 2: unknown; there are: listen"),
    ('[server]\nworkers = "2"', "line 2: server.workers = '2': write a whole number, without quotes"),
    ("[server]\nworkers = 2.5", "line 2: server.workers = 2.5: write a whole number"),
    ("[server]\nworkers = -1", "line 2: server.workers = -1: must be at least 0"),
    ("[server]\nworkers = 1000", "line 2: server.workers = 1000: must be at most 256"),
    ("[server]\nworkers = true", "line 2: server.workers = True: write a whole number"),
    ('[server]\nlisten = ":80"', "line 2: server.listen = ':80': write a list"),
    ("[server]\nlisten = []", "line 2: server.listen = []: needs at least one address"),
    ('[server]\nlisten = [\n":80",\n"x"\n]', "line 4: server.listen[1] = 'x': write HOST:PORT"),
    ("[server]\nidle_timeout = 0", "line 2: server.idle_timeout = 0: must be more than 0"),
    ("[server]\ndrain_timeout = inf", "line 2: server.drain_timeout = inf: is more than ten years"),
    ('[server]\nmax_head = "1GB"', "max_head must be between 1KiB and 1MiB"),
    ('[server]\nmax_line = "32KiB"', "max_line must be at least 256 and at most max_head"),
    ('[origin]\nverify = "no"', "line 2: origin.verify = 'no': write true or false, without quotes"),
    ('[origin]\nurl = "http://a b/"', "line 2: origin.url = 'http://a b/': must have no blanks"),
    ('[origin]\nurl = "http://a:99999/"', "line 2: origin.url = 'http://a:99999/': not a URL"),
    ('[origin]\nurl = "a.example"', "line 2: origin.url = 'a.example': must look like http://host"),
    ('[origin]\nhost = "a\\r\\nX-Evil: 1"', "line 2: origin.host = 'a\\r\\nX-Evil: 1': write HOST or HOST:PORT"),
    ('[origin]\nclient_key = "k.pem"', "client_key needs client_cert beside it"),
    (
        '[[upstream]]\nurl = "http://s"\nrole = "shield"\ns3_region = "r"',
        "a shield is shown a pass: only requests to origins are signed for S3",
    ),
    ('[cache]\nsize = "1MB"', "line 2: cache.size = '1MB': a cache needs at least 16MiB"),
    ('[cache]\npolicy = "lfu"', "line 2: cache.policy = 'lfu': must be one of: popular, fifo, lru; did you mean lru?"),
    ("[cache]\nmin_free = 1.5", "line 2: cache.min_free = 1.5: must be at most 0.9"),
    ('[cache]\ndir = ""', "line 2: cache.dir = '': must not be empty"),
    ('[[server]]\nnode = "a"', "line 1: server = [{'node': 'a'}]: write [server], once"),
    ('cache = "10GB"', "line 1: cache = '10GB': is a section: write [cache]"),
    ('[site]\nname = "a"', "line 1: site = '{...}': there may be several: write [[site]]"),
    ('\n[[tls]]\ncert = "a"\n\n[[tls]]\nkey = "b"', "line 2: tls[0].key = '': is needed\nline 5: tls[1].cert = '': is"),
    ('[[site]]\nname = "a/b"', "line 2: site[0].name = 'a/b': letters, digits, dots, dashes and underscores only"),
    ('[[site]]\nname = "a"\n[[site]]\nname = "a"', "line 1: site = "),
    ('[[site]]\nname = "a"\nhosts = ["h:80"]', "line 3: site[0].hosts[0] = 'h:80': write a host name without"),
    ('[[site]]\nname = "a"\nforward_fields = ["a b"]', "line 3: site[0].forward_fields[0] = 'a b': is not the name"),
    ('[[site]]\nname = "a"\ncors_origin = "*\\r\\nX: y"', "line 3: site[0].cors_origin = '*\\r\\nX: y': write \"*\""),
    ('[[site]]\nname = "a"\n[site.kinds.segmnt]\nttl = 1', "did you mean segment?"),
    ('[[site]]\nname = "a"\n[site.kinds.segment]\ntll = 1', "line 4: site[0].kinds.segment.tll = 1: unknown"),
    ('[[site]]\nname = "a"\n[site.kinds]\nsegment = "14d"', "line 4: site[0].kinds.segment = '14d': is a section"),
    ('[[site]]\nname = "a"\nlive = { least = "1 h" , lest = 2 }', "line 3: site[0].live.lest = 2: unknown; did you"),
    (UPSTREAM + '[[site]]\nname = "a"\nupstream = "flims"', "no [[upstream]] is in group 'flims'; did you mean films?"),
    (UPSTREAM + '[[site]]\nname = "a"\n[[site.rule]]\npath = "/a"\nupstream = "x"', "in group 'x'; there are: films"),
    ('[[group]]\nname = "films"', "group 'films' has no members: no [[upstream]] says group = 'films'"),
    ('[[group]]\nname = "origin"', "line 1: group = [{'name': 'origin'}]: what holds for group origin"),
    (UPSTREAM + '[[group]]\nname = "films"\n[[group]]\nname = "films"', "two groups have the name 'films'"),
    (UPSTREAM + UPSTREAM, "two upstreams have the url 'http://f'"),
    (UPSTREAM + '[[upstream]]\nurl = "http://f"\nrole = "shield"', "'http://f' has two roles: it is one server in all"),
    (UPSTREAM + 'role = "shield"\n[origin]\nurl = "http://f:80/"', "'http://f' has two roles"),
    (UPSTREAM + '[[upstream]]\nurl = "http://g"\ngroup = "g"\nrole = "sibling"', "beside them (in group g)"),
    ('[upstream]\nurl = "http://a"', "line 1: upstream = '{...}': there may be several: write [[upstream]]"),
    ('[log]\nanonymise = "trunc"', "line 2: log.anonymise = 'trunc': must be one of: truncate, hash, off"),
    ('[server]\nnode = "' + "x" * 500 + '"', "x" * 80 + "...'"),
    ("[server\n", "line 1: TOML = '[server': "),
    ("a = 1\na = 2\n", "line 2: TOML = 'a = 2': Cannot overwrite a value"),
    ('a = """never closed\n\n', "line 3: TOML = '': Unterminated string"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CASES, ids=[text[:40] for text, _ in CASES])
def test_an_error_says_line_field_value_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    assert message in told(tmp_path, text)


def test_all_errors_are_told_not_just_the_first(tmp_path: Path) -> None:
    said = told(tmp_path, '[server]\nworkers = "x"\n[cache]\nsize = "y"\n[origin]\nurl = "z"\n')
    assert [line.partition(":")[0] for line in said.splitlines()] == ["line 2", "line 4", "line 6"]


def test_two_sites_with_one_host_are_told_which(tmp_path: Path) -> None:
    said = told(tmp_path, '[[site]]\nname = "a"\nhosts = ["X.example"]\n[[site]]\nname = "b"\nhosts = ["x.example"]\n')
    assert "host 'x.example' belongs to 'a' and to 'b'" in said


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b"[server]\n\xff\xfe")
    with pytest.raises(ConfigErrors, match=r"line 2: .*is not UTF-8"):
        load_settings(path)
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(ConfigErrors, match="larger than 4 MiB"):
        load_settings(path)
    with pytest.raises(ConfigErrors, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xef\xbb\xbf[server]\nworkers = 3\n")
    assert load_settings(path).server.workers == 3


NAMES = {("origin", "url"): "--origin", ("cache", "size"): "--cache-size", ("tls", "key"): "--tls-key"}


def test_an_error_in_a_flag_names_the_flag_and_not_the_line_that_it_overrides(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[origin]\nurl = "http://good"\nhost = "bad host"\n')
    with pytest.raises(ConfigErrors) as caught:
        load_settings(path, {"origin": {"url": "bad"}, "tls": [{"cert": "c"}]}, NAMES)
    url, host, key = sorted(caught.value.errors, key=lambda error: error.field != "origin.url")
    assert url.line is None
    assert url.hint.endswith("(--origin)")
    assert host.line == 3
    assert key.hint == "is needed (--tls-key)"
    assert f"{path}: line 3: origin.host" in str(caught.value)


def test_flags_do_not_hide_that_a_section_is_none(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("cache = 5\n")
    with pytest.raises(ConfigErrors, match=r"line 1: cache = 5: is a section"):
        load_settings(path, {"cache": {"size": "1GB"}}, NAMES)


def test_later_errors_find_their_lines_by_field_and_value(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[[tls]]\ncert = "a.pem"\nkey = "a.key"\n[[tls]]\ncert = "b.pem"\nkey = "b.key"\n')
    later = [ConfigError("tls.cert", "b.pem", "cannot be used"), ConfigError("tls.cert", "c.pem", "by a flag")]
    assert [error.line for error in with_lines(later, path).errors] == [5, None]
    assert [error.line for error in with_lines(later, None).errors] == [None, None]
