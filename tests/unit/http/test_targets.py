"""Request targets and Host."""

import pytest

from edge.errors import BadRequest
from edge.http.target import Target, authority_of, parse_target, valid_host


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/a?b", b"Example.org:80", Target(b"example.org", 80, b"/a", b"b")),
        (b"/", b"example.org", Target(b"example.org", None, b"/", None)),
        (b"/?", b"example.org", Target(b"example.org", None, b"/", b"")),
        (b"/a?b?c=/d", b"example.org", Target(b"example.org", None, b"/a", b"b?c=/d")),
        (b"/a", None, Target(b"", None, b"/a", None)),
        (b"/a", b"", Target(b"", None, b"/a", None)),
        (b"*", b"example.org", Target(b"example.org", None, b"*", None)),
    ],
)
def test_a_path_is_asked_of_the_host_that_is_named(target: bytes, host: bytes | None, expected: Target) -> None:
    assert parse_target(target, host) == expected


@pytest.mark.parametrize(
    "path",
    [b"/a%2F../b", b"//a//b/", b"/./..", b"/%zz", b"/A%e2%82%ac", b"/\xff\x80", b"/a;b=c,d'()~@:!$&*+="],
)
def test_a_path_is_kept_byte_for_byte(path: bytes) -> None:
    assert parse_target(path, b"h").path == path


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://Other.org/x?y", Target(b"other.org", None, b"/x", b"y")),
        (b"HTTP://other.org:8080/", Target(b"other.org", 8080, b"/", None)),
        (b"https://other.org", Target(b"other.org", None, b"/", None)),
        (b"http://other.org?q", Target(b"other.org", None, b"/", b"q")),
        (b"http://[::1]:1/x", Target(b"[::1]", 1, b"/x", None)),
    ],
)
def test_the_authority_of_an_absolute_target_wins(target: bytes, expected: Target) -> None:
    assert parse_target(target, b"example.org") == expected


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        (b"EXAMPLE.org", b"example.org", None),
        (b"example.org.", b"example.org", None),
        (b"example.org.:443", b"example.org", 443),
        (b"example.org:", b"example.org", None),
        (b"example.org:0", b"example.org", 0),
        (b"example.org:65535", b"example.org", 65535),
        (b"127.0.0.1:80", b"127.0.0.1", 80),
        (b"[2001:DB8::1]", b"[2001:db8::1]", None),
        (b"[::ffff:1.2.3.4]:80", b"[::ffff:1.2.3.4]", 80),
        (b"a_b-c.%41", b"a_b-c.%41", None),
    ],
)
def test_hosts_are_read_without_case_port_and_root_dot(host: bytes, name: bytes, port: int | None) -> None:
    found = parse_target(b"/", host)
    assert (found.host, found.port) == (name, port)
    assert valid_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"h h",
        b"user@h",
        b"h:65536",
        b"h:99999",
        b"h:123456",
        b"h:x",
        b"h:-1",
        b"h:1:2",
        b"h/x",
        b"h?x",
        b"h#x",
        b"[::1",
        b"::1",
        b"[:::]",
        b"[1.2.3.4]",
        b"[fe80::1%25eth0]",
        b"[v1.x]",
        b"[::1]x",
        b"h%4",
        b"h%zz",
        b"h\x00",
        b"h\t",
        b"h\xc3\xa9",
        b"h\r\nX: y",
        b" h",
    ],
)
def test_what_is_no_authority_is_refused(host: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_target(b"/", host)
    assert caught.value.status == 400
    assert not valid_host(host)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"a/b",
        b"?a",
        b"**",
        b"*?a",
        b"/a b",
        b"/a\tb",
        b"/a#f",
        b"/\x00",
        b"/\x7f",
        b"/a\r\nX: y",
        b"ftp://h/",
        b"http:/h",
        b"http:h/",
        b"http://",
        b"http:///x",
        b"http://u@h/",
        b"http://u:p@h/",
        b"http://h/a b",
        b"http://h/#f",
        b"http://h h/",
        b"h:443",
    ],
)
def test_what_is_no_target_is_refused(target: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_target(target, b"example.org")


@pytest.mark.parametrize(
    ("target", "host", "authority"),
    [
        (b"/a", b"h:1", b"h:1"),
        (b"http://g:2/a", b"h:1", b"g:2"),
        (b"*", None, b""),
    ],
)
def test_whom_a_request_asks_is_told_by_its_absolute_form_first(
    target: bytes, host: bytes | None, authority: bytes
) -> None:
    assert authority_of(target, host) == authority
