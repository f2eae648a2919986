"""Certificates: their choice, and what an operator hears of wrong ones."""

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.server.settings import TlsCert
from edge.server.tls import make_server_context, tls_send_path
from tests.support.certs import make_cert


def test_one_certificate_leaves_nothing_to_choose(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    assert make_server_context([cert]).only is not None
    unnamed = make_server_context([TlsCert(cert.cert, cert.key)])
    assert unnamed.only is unnamed.choose("anything")


def test_the_exact_name_wins_then_the_wildcard_then_the_first(tmp_path: Path) -> None:
    certs = [
        make_cert(tmp_path, "a.example", "alias.example"),
        make_cert(tmp_path, "*.b.example"),
        make_cert(tmp_path, "x.b.example"),
    ]
    chosen = make_server_context(certs)
    assert chosen.only is None
    first, wildcard, exact = (
        chosen.choose("a.example"),
        chosen.choose("y.b.example"),
        chosen.choose("x.b.example"),
    )
    assert len({id(first), id(wildcard), id(exact)}) == 3
    assert chosen.choose("alias.example") is first
    assert chosen.choose("b.example") is first
    assert chosen.choose("x.y.b.example") is first
    assert chosen.choose(None) is first
    assert repr(chosen) == "<Certificates ['*.b.example', 'a.example', 'alias.example', 'x.b.example']>"


def test_names_are_the_same_in_any_case(tmp_path: Path) -> None:
    cert = make_cert(tmp_path, "a.example")
    other = make_cert(tmp_path, "b.example")
    chosen = make_server_context([cert, TlsCert(other.cert, other.key, ("B.Example.",))])
    assert chosen.choose("b.example") is not chosen.choose("a.example")


def test_wrong_files_are_said_by_name(tmp_path: Path) -> None:
    cert, other = make_cert(tmp_path, "a.example"), make_cert(tmp_path, "b.example")
    with pytest.raises(ConfigError, match="missing"):
        make_server_context([TlsCert(tmp_path / "missing", cert.key)])
    with pytest.raises(ConfigError, match=r"b\.example\.key"):
        make_server_context([TlsCert(cert.cert, other.key)])
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    with pytest.raises(ConfigError, match="garbage"):
        make_server_context([TlsCert(garbage, cert.key)])


def test_several_certificates_need_names_and_different_ones(tmp_path: Path) -> None:
    cert, other = make_cert(tmp_path, "a.example"), make_cert(tmp_path, "b.example")
    with pytest.raises(ConfigError, match="each needs the names"):
        make_server_context([cert, TlsCert(other.cert, other.key)])
    with pytest.raises(ConfigError, match="two certificates have this name"):
        make_server_context([cert, TlsCert(other.cert, other.key, ("a.example",))])
    with pytest.raises(ConfigError, match="give a certificate"):
        make_server_context([])


def test_the_send_path_is_one_of_two_and_known_before_any_connection() -> None:
    path = tls_send_path()
    assert path in ("ktls", "mmap")
    if not Path("/sys/module/tls").exists():
        assert path == "mmap"
