"""RFC 9111 section 4.3 and RFC 9110 sections 8.8 and 13: validation, on both sides, and answers to HEAD."""

from tests.conformance.build import AGAIN, FRESH, HIT, NEW, answer, case, step
from tests.conformance.case import Case

LIFE, STALE = "Cache-Control: max-age=3600", "Cache-Control: max-age=0"
LM = "Last-Modified: <now-100000>"
OWN = "the body"


def _to_origin(name: str, section: str, says: str, stored: list[str], sees: dict[str, str | None]) -> Case:
    again = answer(LIFE, *[line for line in stored if line.startswith("ETag")], status=304)
    return case(
        f"validate-{name}", section, says,
        step(answer(STALE, *stored)), step(again, status=200, body=OWN, sees=sees), HIT,
    )  # fmt: skip


TO_ORIGIN = [
    _to_origin("etag", "9111-4.3.1", "a strong tag is asked about", ['ETag: "a"'], {"If-None-Match": '"a"'}),
    _to_origin("etag-weak", "9111-4.3.1", "a weak one too", ['ETag: W/"a"'], {"If-None-Match": 'W/"a"'}),
    _to_origin("etag-odd", "9110-8.8.3", "with all its characters", ['ETag: "a,b \\c\xe9"'.replace(" ", "")], {"If-None-Match": '"a,b\\c\xe9"'}),
    _to_origin("modified", "9111-4.3.1", "a date is asked about", [LM], {"If-Modified-Since": "<now-100000>", "If-None-Match": None}),
    _to_origin("both", "9111-4.3.1", "both are sent", ['ETag: "a"', LM], {"If-None-Match": '"a"', "If-Modified-Since": "<now-100000>"}),
    _to_origin("etag-empty", "9110-8.8.3", "an empty tag is one", ['ETag: ""'], {"If-None-Match": '""'}),
    case("validate-none", "9111-4.3.1", "without a validator nothing is asked about", step(answer("Cache-Control: max-age=10", "Age: 20")), step(answer(LIFE, body=NEW), sees={"If-None-Match": None, "If-Modified-Since": None})),
    case("validate-200", "9111-4.3.3", "a 200 takes the place of what is stored", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "b"', body=NEW)), step(body=NEW), video=True),
    case("validate-404", "9111-4.3.3", "so does a 404", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, status=404, body=NEW)), step(status=404, body=NEW)),
    case("validate-500", "9111-4.3.3", "a 5xx is passed on, and what is stored stays", step(answer(STALE, 'ETag: "a"')), step(answer(status=500, body=NEW)), step(answer(LIFE, 'ETag: "a"', status=304), status=200, body=OWN)),
    case("validate-other-304", "9111-4.3.4", "a 304 about another version renews nothing", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "b"', status=304), behind=answer(LIFE, 'ETag: "b"', body=NEW), status=200, body=NEW), step(body=NEW)),
    case("validate-304-date", "9111-4.3.4", "the new Date counts for the new life", step(answer("Cache-Control: max-age=2", "Date: <now-10>", 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', status=304), status=200, body=OWN), HIT),
    case("validate-304-no-date", "9111-4.3.4", "a 304 without Date is of now", step(answer("Cache-Control: max-age=3600", "Date: <now-7200>", 'ETag: "a"')), step(answer('ETag: "a"', status=304, date=None), status=200, body=OWN), HIT),
    case("validate-304-keeps-life", "9111-4.3.4", "a 304 that says nothing leaves the life as it was", step(answer("Cache-Control: max-age=2", 'ETag: "a"')), step(answer('ETag: "a"', status=304, date=None), status=200, body=OWN, wait=3.1), HIT),
    case("validate-304-twice", "9111-4.3.4", "each time it is stale", step(answer(STALE, 'ETag: "a"')), *(step(answer(STALE, 'ETag: "a"', status=304), status=200, body=OWN) for _ in range(3)), video=True),
    case("validate-304-no-store", "9111-5.2.2.5", "a 304 that says no-store is asked about again", step(answer(STALE, 'ETag: "a"')), step(answer("Cache-Control: no-store", 'ETag: "a"', status=304), status=200, body=OWN), step(answer(LIFE, 'ETag: "a"', status=304), status=200, body=OWN)),
    case("validate-status-told", "9211-2.3", "Cache-Status tells the status upstream", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', status=304), status=200, body=OWN, gets={"Cache-Status": "~fwd=stale; fwd-status=304; stored"})),
    case("validate-large", "9111-4.3.3", "a large one too", step(answer(STALE, 'ETag: "a"', body="a" * 400_000)), step(answer(LIFE, 'ETag: "a"', status=304), status=200, body="a" * 400_000), step(body="a" * 400_000), video=True),
]  # fmt: skip
_RENEWED = [
    "X-Test: 2", "Content-Foo: 2", "X-Content-Foo: 2", "Content-Security-Policy: default-src 'self'", "X-Frame-Options: same",
    "Content-Type: text/b", "Content-Language: en", "Content-Location: /b", "Link: </b>", "Server: origin/2", "Allow: HEAD",
    "Set-Cookie: a=2", "Strict-Transport-Security: max-age=6", "Expires: <now+7200>", "Last-Modified: <now-500>",
    "Access-Control-Allow-Origin: https://b.example", "Content-Disposition: attachment", "Content-MD5: b",
]  # fmt: skip
RENEWED = [
    case(
        f"renew-{name.lower()}", "9111-3.2", f"a 304 brings a new {name}",
        step(answer(STALE, 'ETag: "a"', f"{name}: <now-1000>" if name in ("Expires", "Last-Modified") else f"{name}: 1")),
        step(answer(LIFE, 'ETag: "a"', line, status=304), status=200, body=OWN, gets={name: value.strip()}),
        step(gets={name: value.strip()}),
    )
    for line in _RENEWED
    for name, _, value in [line.partition(":")]
] + [
    case("renew-keeps-others", "9111-3.2", "what it does not name stays", step(answer(STALE, 'ETag: "a"', "X: 1", "Y: 2")), step(answer(LIFE, 'ETag: "a"', "Y: 3", status=304), status=200, body=OWN, gets={"X": "1", "Y": "3"}), step(gets={"X": "1", "Y": "3"}), video=True),
    case("renew-added", "9111-3.2", "what is new is added", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', "Z: 3", status=304), status=200, body=OWN, gets={"Z": "3"}), step(gets={"Z": "3"}), video=True),
    case("renew-not-length", "9111-3.2", "its Content-Length is not the body's", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', "Content-Length: 3", status=304), status=200, body=OWN, gets={"Content-Length": "8"}), step(gets={"Content-Length": "8"})),
    case("renew-not-encoding", "9111-3.2", "nor its Content-Encoding", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', "Content-Encoding: gzip", status=304), status=200, body=OWN, gets={"Content-Encoding": None}), HIT),
    case("renew-not-hop", "9111-3.1", "nor what is for its connection", step(answer(STALE, 'ETag: "a"', "A: 1")), step(answer(LIFE, 'ETag: "a"', "Connection: a", "A: 2", status=304), status=200, body=OWN, gets={"A": "1"})),
]  # fmt: skip


def _from_cache(
    name: str, section: str, says: str, stored: list[str], asked: list[str], status: int, video: bool = False
) -> Case:
    body = OWN if status == 200 else None
    return case(
        f"client-{name}",
        section,
        says,
        step(answer(LIFE, *stored)),
        step(ask=asked, status=status, body=body),
        video=video,
    )


TAG = ['ETag: "a"']
FROM_CACHE = [
    _from_cache("etag", "9110-13.1.2", "the same tag: 304", TAG, ['If-None-Match: "a"'], 304, True),
    _from_cache("etag-other", "9110-13.1.2", "another one: 200", TAG, ['If-None-Match: "b"'], 200, True),
    _from_cache("etag-weak-asked", "9110-8.8.3.2", "compared weakly", TAG, ['If-None-Match: W/"a"'], 304, True),
    _from_cache("etag-weak-stored", "9110-8.8.3.2", "compared weakly", ['ETag: W/"a"'], ['If-None-Match: "a"'], 304, True),
    _from_cache("etag-both-weak", "9110-8.8.3.2", "compared weakly", ['ETag: W/"a"'], ['If-None-Match: W/"a"'], 304),
    _from_cache("etag-lower-w", "9110-8.8.3", "w/ in lower case is no weak tag", TAG, ['If-None-Match: w/"a"'], 200),
    _from_cache("etag-stored-lower-w", "9110-8.8.3", "nor in what is stored", ['ETag: w/"a"'], ['If-None-Match: W/"a"'], 200),
    _from_cache("etag-unquoted-asked", "9110-8.8.3", "a tag has quotes", TAG, ["If-None-Match: a"], 200),
    _from_cache("etag-unquoted-stored", "9110-8.8.3", "the stored one too", ["ETag: a"], ['If-None-Match: "a"'], 200),
    _from_cache("etag-list-first", "9110-13.1.2", "first of a list", TAG, ['If-None-Match: "a", "b"'], 304),
    _from_cache("etag-list-middle", "9110-13.1.2", "among a list", TAG, ['If-None-Match: "b", W/"a", "c"'], 304),
    _from_cache("etag-list-last", "9110-13.1.2", "last of a list", TAG, ['If-None-Match: "b" , "a"'], 304),
    _from_cache("etag-list-none", "9110-13.1.2", "not in a list", TAG, ['If-None-Match: "b", "c"'], 200),
    _from_cache("etag-lines", "9110-5.3", "in a second line", TAG, ['If-None-Match: "b"', 'If-None-Match: "a"'], 304),
    _from_cache("etag-comma", "9110-8.8.3", "a comma within a tag", ['ETag: "a,b"'], ['If-None-Match: "x", "a,b"'], 304),
    _from_cache("etag-comma-part", "9110-8.8.3", "half of such a tag", ['ETag: "a"'], ['If-None-Match: "x,"a"", "y"'], 200),
    _from_cache("etag-star", "9110-13.1.2", "* is any", TAG, ["If-None-Match: *"], 304),
    _from_cache("etag-star-none", "9110-13.1.2", "also what has no tag", [], ["If-None-Match: *"], 304),
    _from_cache("etag-case", "9110-8.8.3.2", "tags know case", TAG, ['If-None-Match: "A"'], 200),
    _from_cache("etag-obs", "9110-8.8.3", "bytes beyond ASCII", ['ETag: "\xe9"'], ['If-None-Match: "\xe9"'], 304),
    _from_cache("etag-without", "9110-13.1.2", "nothing stored to compare with", [], ['If-None-Match: "a"'], 200),
    _from_cache("since-same", "9110-13.1.3", "unchanged since that date", [LM], ["If-Modified-Since: <now-100000>"], 304, True),
    _from_cache("since-later", "9110-13.1.3", "unchanged since a later one", [LM], ["If-Modified-Since: <now-50000>"], 304, True),
    _from_cache("since-earlier", "9110-13.1.3", "changed since an earlier one", [LM], ["If-Modified-Since: <now-200000>"], 200, True),
    _from_cache("since-junk", "9110-13.1.3", "what is no date is ignored", [LM], ["If-Modified-Since: yesterday"], 200, True),
    _from_cache("since-two", "9110-13.1.3", "two dates are none", [LM], ["If-Modified-Since: <now>", "If-Modified-Since: <now>"], 200),
    _from_cache("since-rfc850", "9110-5.6.7", "a date of two digits", ["Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT"], ["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 304),
    _from_cache("since-asctime", "9110-5.6.7", "an asctime date", ["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], ["If-Modified-Since: Sun Nov  6 08:49:37 1994"], 304),
    _from_cache("since-after-date", "9111-4.3.2", "without Last-Modified, Date is compared", [], ["If-Modified-Since: <now+10>"], 304),
    _from_cache("since-before-date", "9111-4.3.2", "and may be later", [], ["If-Modified-Since: <now-10>"], 200),
    _from_cache("etag-over-since", "9110-13.1.3", "with If-None-Match the date is ignored", ['ETag: "a"', LM], ['If-None-Match: "b"', "If-Modified-Since: <now-50000>"], 200, True),
    _from_cache("etag-over-since-304", "9110-13.2.2", "also when it says changed", ['ETag: "a"', LM], ['If-None-Match: "a"', "If-Modified-Since: <now-200000>"], 304, True),
    _from_cache("match-not-judged", "9111-4.3.2", "If-Match is for origins to judge", TAG, ['If-Match: "b"'], 200),
    _from_cache("unmodified-not-judged", "9111-4.3.2", "so is If-Unmodified-Since", [LM], ["If-Unmodified-Since: <now-200000>"], 200),
    case("client-on-404", "9110-13.2.1", "conditions are about what there is", step(answer(LIFE, 'ETag: "a"', status=404)), step(ask=['If-None-Match: "a"'], status=404)),
    case("client-304-fields", "9110-15.4.5", "a 304 tells what it has to", step(answer(LIFE, 'ETag: "a"', "Content-Location: /x", "Vary: Z", "Expires: <now+5>")), step(ask=['If-None-Match: "a"'], status=304, gets={"ETag": '"a"', "Cache-Control": "max-age=3600", "Content-Location": "/x", "Vary": "Z", "Expires": "<now+5>", "Date": "~GMT", "Content-Length": None})),
    case("client-options", "9110-13.2.1", "a condition on OPTIONS is nobody's here", step(answer(LIFE, 'ETag: "a"')), step(answer("Allow: GET", body="x"), method="OPTIONS", ask=['If-None-Match: "a"'], status=200, sees={"If-None-Match": '"a"'})),
    case("client-head-304", "9110-13.1.2", "HEAD too", step(answer(LIFE, 'ETag: "a"')), step(method="HEAD", ask=['If-None-Match: "a"'], status=304)),
    case("client-miss-forwarded", "9111-4.3.2", "with nothing stored the origin judges", step(answer('ETag: "a"', status=304), ask=['If-None-Match: "a"'], status=304, body=None, sees={"If-None-Match": '"a"'}), AGAIN),
    case("client-miss-since-forwarded", "9111-4.3.2", "dates too", step(answer(status=304), ask=["If-Modified-Since: <now>"], status=304, body=None, sees={"If-Modified-Since": "<now>"})),
    case("client-miss-match-forwarded", "9111-4.3.2", "and If-Match", step(answer(status=412), ask=['If-Match: "a"'], sees={"If-Match": '"a"'}), AGAIN),
    case("client-miss-200-kept", "9111-3", "what comes is kept", step(answer(LIFE, 'ETag: "b"'), ask=['If-None-Match: "a"']), HIT),
    case("client-stale-validated", "9111-4.3.2", "what is stale is validated first", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', status=304), ask=['If-None-Match: "a"'], body=None, sees={"If-None-Match": '~"a"'}), HIT),
    case("client-stale-changed", "9111-4.3.3", "and what came is compared", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "b"', body=NEW), ask=['If-None-Match: "b"'], status=304, body=None), step(body=NEW)),
]  # fmt: skip
HEAD = [
    case("head-from-get", "9111-4", "HEAD is answered from a stored GET", step(answer(LIFE, "X: 1")), step(method="HEAD", gets={"X": "1", "Content-Length": "8"}), video=True),
    case("head-forwarded", "9110-9.3.2", "HEAD for what is not there goes on as HEAD", step(answer(LIFE), method="HEAD", gets={"Content-Length": "8"}), AGAIN, video=True),
    case("head-stale", "9111-4.3.5", "so it does for what is stale", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"'), method="HEAD"), video=True),
    case("head-renews", "9111-4.3.5", "an answer that describes what is stored renews it", step(answer(STALE, 'ETag: "a"', "X: 1")), step(answer(LIFE, 'ETag: "a"', "X: 2"), method="HEAD"), step(gets={"X": "2"})),
    case("head-renews-modified", "9111-4.3.5", "by date too", step(answer(STALE, LM)), step(answer(LIFE, LM), method="HEAD"), HIT),
    case("head-other-etag", "9111-4.3.5", "one with another tag shows that it is out of date", step(answer("Cache-Control: max-age=2", 'ETag: "a"')), step(answer(LIFE, 'ETag: "b"'), method="HEAD", wait=3.1), AGAIN),
    case("head-other-length", "9111-4.3.5", "one with another length too", step(answer(STALE, 'ETag: "a"')), step(answer(LIFE, 'ETag: "a"', body="short"), method="HEAD"), AGAIN),
    case("head-410", "9111-4.3.5", "that it is gone too", step(answer(STALE, 'ETag: "a"')), step(answer(status=410), method="HEAD"), step(answer(LIFE, body=NEW), sees={"If-None-Match": None})),
    case("head-body-none", "9110-9.3.2", "an answer to HEAD is not kept for GET", step(answer(LIFE, 'ETag: "a"'), method="HEAD"), AGAIN),
    case("head-of-range", "9110-14.2", "Range means nothing to HEAD", step(FRESH), step(method="HEAD", ask=["Range: bytes=0-1"], status=200, gets={"Content-Length": "8", "Content-Range": None})),
]  # fmt: skip
CASES = [*TO_ORIGIN, *RENEWED, *FROM_CACHE, *HEAD]
