"""Reasons against keeping an answer."""

import pytest

from edge.http.cache_control import parse_cache_control
from edge.policy.rules import SiteRules
from edge.policy.storability import Refusal, refusal

Lines = list[tuple[bytes, bytes]]


def refused(
    control: bytes = b"",
    fields: Lines | None = None,
    *,
    status: int = 200,
    method: bytes = b"GET",
    rules: SiteRules | None = None,
    has_authorization: bool = False,
) -> Refusal:
    return refusal(
        status,
        fields or [],
        parse_cache_control([control]),
        method=method,
        rules=rules or SiteRules(),
        has_authorization=has_authorization,
    )


def test_a_plain_answer_is_kept() -> None:
    assert refused() is Refusal.NONE
    assert refused(b"public, max-age=1", [(b"ETag", b'"a"')]) is Refusal.NONE


@pytest.mark.parametrize("status", [200, 206, 301, 302, 303, 307, 308, 404, 410, 503])
def test_must_understand_overrides_no_store_for_statuses_that_are_understood(status: int) -> None:
    assert refused(b"no-store, must-understand", status=status) is Refusal.NONE
    assert refused(b"no-store", status=status) is Refusal.NO_STORE


@pytest.mark.parametrize("status", [201, 403, 500, 599])
def test_must_understand_does_not_help_a_status_that_is_not_understood(status: int) -> None:
    assert refused(b"no-store, must-understand", status=status) is Refusal.NO_STORE
    assert refused(b"must-understand", status=status) is Refusal.STATUS


@pytest.mark.parametrize("control", [b"public", b"s-maxage=0", b"must-revalidate"])
def test_an_answer_to_credentials_may_be_kept_if_it_says_so(control: bytes) -> None:
    assert refused(control, has_authorization=True) is Refusal.NONE


@pytest.mark.parametrize("control", [b"", b"max-age=60", b"proxy-revalidate"])
def test_an_answer_to_credentials_is_else_refused(control: bytes) -> None:
    assert refused(control, has_authorization=True) is Refusal.AUTHORIZATION


@pytest.mark.parametrize(
    ("vary", "forwarded", "expected"),
    [
        (b"Accept-Encoding, Origin", (), Refusal.NONE),
        (b"", (), Refusal.NONE),
        (b"*", (), Refusal.VARIES),
        (b"Origin, *", (), Refusal.VARIES),
        (b"cookie", (), Refusal.VARIES),
        (b"Accept, AUTHORIZATION", (), Refusal.VARIES),
        (b"Accept-Language", ("X-Pass",), Refusal.NONE),
        (b"Accept-Language", ("accept-LANGUAGE",), Refusal.NONE),
    ],
)
def test_vary_matters_for_what_reaches_the_origin(vary: bytes, forwarded: tuple[str, ...], expected: Refusal) -> None:
    assert refused(fields=[(b"Vary", vary)], rules=SiteRules(forward_fields=forwarded)) is expected


def test_all_lines_of_vary_count() -> None:
    assert refused(fields=[(b"Vary", b"Origin"), (b"vary", b"Cookie")]) is Refusal.VARIES


@pytest.mark.parametrize("method", [b"HEAD", b"POST", b"get"])
def test_only_answers_to_get_are_kept(method: bytes) -> None:
    assert refused(method=method) is Refusal.METHOD


def test_a_part_of_an_encoding_is_not_kept_but_a_whole_is() -> None:
    encoded = [(b"Content-Encoding", b"gzip")]
    assert refused(fields=encoded, status=206) is Refusal.ENCODED
    assert refused(fields=encoded) is Refusal.NONE


def test_whose_an_answer_is_comes_before_what_it_is() -> None:
    cookie = [(b"Set-Cookie", b"a=b")]
    assert refused(b"private", cookie, status=500) is Refusal.PRIVATE
    assert refused(b"", cookie, status=500) is Refusal.SET_COOKIE
    assert refused(b"private, no-store") is Refusal.NO_STORE


@pytest.mark.parametrize("reason", Refusal)
def test_an_answer_is_shared_unless_it_may_be_somebodys_own(reason: Refusal) -> None:
    assert reason.shareable == (reason in {Refusal.NONE, Refusal.STATUS})
