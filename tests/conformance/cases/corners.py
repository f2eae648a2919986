"""What lies where two rules meet: a variant and a validation, a part and a condition, a client's wish and an error."""

from tests.conformance.build import AGAIN, CHANGED, FRESH, HIT, NEW, answer, case, kept, not_kept, step
from tests.conformance.case import Answer

CC, CDN = "Cache-Control: ", "CDN-Cache-Control: "
LIFE, STALE, TAG = CC + "max-age=3600", CC + "max-age=0", 'ETag: "a"'
LM = "Last-Modified: <now-100000>"
OWN, TEXT = "the body", "0123456789"
WHOLE = answer(LIFE, TAG, body=TEXT)
RENEWED = answer(LIFE, TAG, status=304)
OLD_SIE = (CC + "max-age=10, stale-if-error=60", "Age: 20")
OLD_SWR = (CC + "max-age=10, stale-while-revalidate=60", "Age: 20")
GONE = Answer(hang_up=True)


def _part(first: int, last: int, *lines: str) -> Answer:
    return answer(LIFE, f"Content-Range: bytes {first}-{last}/10", *lines, status=206, body=TEXT[first : last + 1])


def _raw(*lines: str, status: str = "HTTP/1.1 200 OK", body: str = OWN) -> Answer:
    return Answer(raw="\r\n".join([status, *lines, "", body]), body=body)


VALIDATION = [
    case("corner-304-of-another-variant", "9111-4.3.4", "a 304 with the tag of another variant renews nothing", step(answer(STALE, "Vary: Foo", 'ETag: "1"'), ask=["Foo: 1"]), step(answer(STALE, "Vary: Foo", 'ETag: "2"', body=NEW), ask=["Foo: 2"]), step(answer(LIFE, "Vary: Foo", 'ETag: "2"', status=304), behind=answer(LIFE, "Vary: Foo", 'ETag: "2"', body=NEW), ask=["Foo: 1"], status=200, body=NEW)),
    case("corner-304-weak-spelling", "9111-4.3.4", "a 304 whose tag is the stored one, called weak", step(answer(STALE, TAG)), step(answer(LIFE, 'ETag: W/"a"', status=304), status=200, body=OWN), HIT),
    case("corner-304-other-date", "9111-4.3.4", "a 304 with another Last-Modified and no tag is about something else", step(answer(STALE, LM)), step(answer(LIFE, "Last-Modified: <now-500>", status=304), behind=answer(LIFE, body=NEW), status=200, body=NEW)),
    case("corner-304-other-date-same-tag", "9111-4.3.4", "with the same tag its date is a new one", step(answer(STALE, TAG, LM)), step(answer(LIFE, TAG, "Last-Modified: <now-500>", status=304), status=200, body=OWN), step(gets={"Last-Modified": "<now-500>"})),
    case("corner-304-old-at-once", "9111-4.2.3", "a 304 with an Age counts as that old", step(answer(STALE, TAG)), step(answer(CC + "max-age=100", "Age: 200", TAG, status=304), status=200, body=OWN), step(RENEWED, status=200, body=OWN)),
    case("corner-304-expires", "9111-5.3", "a 304 brings a new Expires", step(answer("Expires: <now-10>", TAG)), step(answer("Expires: <now+1000>", TAG, status=304), status=200, body=OWN), HIT),
    case("corner-304-length", "9112-6.3", "a 304 has no content, whatever length it tells", step(answer(STALE, TAG)), step(_raw(TAG, LIFE, "Content-Length: 500", status="HTTP/1.1 304 Not Modified", body=""), status=200, body=OWN), HIT),
    case("corner-tag-unquoted", "9111-4.3.1", "a stored tag that is none is asked about as it is", step(answer(STALE, "ETag: abc")), step(answer(LIFE, "ETag: abc", status=304), status=200, body=OWN, sees={"If-None-Match": "abc"}), HIT),
    case("corner-304-unasked", "9110-15.4.5", "a 304 that nobody asked for is a fault upstream", step(answer(status=304), status=502, body=None), step(FRESH), HIT),
    case("corner-client-tag-of-new", "9111-4.3.2", "what came by a validation is compared with the client's tag", step(answer(STALE, TAG)), step(answer(LIFE, TAG, body=NEW), ask=['If-None-Match: "a"'], status=304, body=None), step(body=NEW)),
    case("corner-client-other-tag", "9111-4.3.2", "a stored answer that is good again and not the client's is sent whole", step(answer(STALE, TAG)), step(RENEWED, ask=['If-None-Match: "b"'], body=OWN, status=200)),
    case("corner-client-since-stale", "9111-4.3.2", "by date too", step(answer(STALE, LM)), step(answer(LIFE, LM, status=304), ask=["If-Modified-Since: <now-100000>"], status=304, body=None), HIT),
    case("corner-client-tag-nothing-stored", "9111-4.3.2", "what says of itself that it is old at once and has no validator is not stored: the origin judges", step(answer(STALE)), step(RENEWED, ask=['If-None-Match: "a"'], status=304, body=None, sees={"If-None-Match": '"a"'})),
    case("corner-condition-and-range-on-miss", "9110-13.2.2", "a condition and a range go on together", step(answer(TAG, status=304), ask=['If-None-Match: "a"', "Range: bytes=0-3"], status=304, body=None, sees={"If-None-Match": '"a"', "Range": "bytes=0-3"})),
    case("corner-condition-false-and-range", "9110-13.2.2", "a condition that does not hold leaves the range", step(WHOLE), step(ask=["Range: bytes=0-3", 'If-None-Match: "b"'], status=206, body="0123")),
    case("corner-no-cache-and-condition", "9111-5.2.1.4", "no-cache and a condition: validated, then compared", step(answer(LIFE, TAG)), step(RENEWED, ask=[CC + "no-cache", 'If-None-Match: "a"'], status=304, body=None)),
    case("corner-head-other-date", "9111-4.3.5", "an answer to HEAD with another date shows that what is stored is out of date", step(answer(CC + "max-age=1", LM)), step(answer(LIFE, "Last-Modified: <now-50>"), method="HEAD", wait=2.1), AGAIN),
    case("corner-head-500", "9111-4.3.5", "an error to HEAD shows nothing", step(answer(STALE, TAG)), step(answer(status=500), method="HEAD"), step(RENEWED, status=200, body=OWN, sees={"If-None-Match": '"a"'})),
    case("corner-head-no-length", "9111-4.3.5", "an answer to HEAD without a length describes it too", step(answer(STALE, TAG)), step(_raw(LIFE, TAG, "Date: <now>", body=""), method="HEAD", body=None), HIT),
    case("corner-head-chunked", "9112-6.1", "an answer to HEAD may tell of chunks, and has none", step(_raw(LIFE, "Transfer-Encoding: chunked", body=""), method="HEAD", body=None), step(FRESH)),
    case("corner-head-of-part", "9110-9.3.2", "HEAD where a part is stored tells the whole's length", step(_part(0, 4, TAG), ask=["Range: bytes=0-4"]), step(method="HEAD", status=200, gets={"Content-Length": "10", "Content-Range": None})),
    case("corner-304-first-weak-tag", "9111-4.3.4", "a 304 may bring a weak tag to what had a date only, and that is asked about from then on", step(answer(STALE, LM)), step(answer(STALE, LM, 'ETag: W/"a"', status=304), status=200, body=OWN, gets={"ETag": 'W/"a"'}), step(answer(LIFE, LM, status=304), status=200, body=OWN, sees={"If-None-Match": 'W/"a"'}), step(ask=['If-None-Match: "a"'], status=304, body=None)),
    case("corner-304-first-strong-tag", "9111-4.3.4", "a strong one that nobody stored is about something else", step(answer(STALE, LM)), step(answer(LIFE, LM, TAG, status=304), behind=answer(LIFE, LM, TAG, body=NEW), status=200, body=NEW), step(body=NEW)),
    case("corner-304-tells-date", "9110-15.4.5", "a 304 from here tells the date where there is no tag to go by", step(answer(LIFE, LM)), step(ask=["If-Modified-Since: <now>"], status=304, body=None, gets={"Last-Modified": "<now-100000>"})),
    case("corner-304-tells-no-date", "9110-15.4.5", "and not where there is one", step(answer(LIFE, LM, TAG)), step(ask=['If-None-Match: "a"'], status=304, body=None, gets={"Last-Modified": None})),
    case("corner-304-after-interim", "9110-15.2", "a 103 before it changes nothing", step(answer(STALE, TAG)), step(answer(LIFE, TAG, status=304, interim="HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), status=200, body=OWN, gets={"Link": None}), step(gets={"Link": None})),
    case("corner-star-on-miss", "9111-4.3.2", "If-None-Match: * with nothing stored is the origin's to judge", step(answer(LIFE, TAG, status=304), ask=["If-None-Match: *"], status=304, body=None, sees={"If-None-Match": "*"})),
]  # fmt: skip
PARTS = [
    case("corner-part-then-rest", "9111-3.4", "a part and an open range are the whole", step(_part(0, 4, TAG), ask=["Range: bytes=0-4"]), step(_part(5, 9, TAG), ask=["Range: bytes=5-"]), step(body=TEXT)),
    case("corner-part-416", "9111-3.3", "the length that a part told is enough for a 416", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(ask=["Range: bytes=20-"], status=416, body=None, gets={"Content-Range": "bytes */10"})),
    case("corner-part-if-range", "9110-13.1.5", "If-Range is compared with a part's tag", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(ask=["Range: bytes=1-2", 'If-Range: "a"'], status=206, body="12")),
    case("corner-part-date-alone", "9111-3.4", "a date is no strong validator for parts", step(_part(0, 3, LM), ask=["Range: bytes=0-3"]), step(_part(4, 9, LM), ask=["Range: bytes=4-9"]), step(answer(LIFE, LM, body=NEW), sees={"Range": None, "If-Range": None}), step(body=NEW)),
    case("corner-part-no-content-range", "9110-15.3.7", "a 206 that does not say what part it is is handed on, not kept", step(answer(LIFE, TAG, status=206, body="0123"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("corner-range-of-stale-whole", "9111-4.3.4", "a range of what is stale: validated, then cut", step(answer(STALE, TAG, body=TEXT)), step(RENEWED, ask=["Range: bytes=2-3"], status=206, body="23"), step(body=TEXT)),
    case("corner-range-of-changed-whole", "9111-3.4", "the new version's part takes the place of the old whole", step(answer(STALE, TAG, body=TEXT)), step(_part(2, 3, 'ETag: "b"'), ask=["Range: bytes=2-3"], status=206, body="23"), step(ask=["Range: bytes=2-3"], status=206, body="23")),
    case("corner-range-of-same-whole", "9111-3.4", "a part of the same version renews the whole", step(answer(STALE, TAG, body=TEXT)), step(_part(2, 3, TAG), ask=["Range: bytes=2-3"], status=206, body="23"), step(body=TEXT)),
    case("corner-range-one-of-two", "9110-14.2", "of two ranges one that is there: a plain part", step(WHOLE), step(ask=["Range: bytes=0-1,50-60"], status=206, body="01", gets={"Content-Range": "bytes 0-1/10"})),
    case("corner-range-no-suffix", "9110-14.1.2", "the last no bytes cannot be satisfied", step(WHOLE), step(ask=["Range: bytes=-0"], status=416, body=None)),
    case("corner-range-no-cache", "9111-5.2.1.4", "a range that is wanted anew", step(WHOLE), step(_part(0, 3, TAG), ask=["Range: bytes=0-3", CC + "no-cache"], status=206, body="0123")),
    *(case(f"corner-range-answered-{status}", "9110-14.2", f"a {status} to a range is kept as what it is", step(answer(LIFE, *lines, status=status), ask=["Range: bytes=0-3"]), step(status=status)) for status, lines in ((404, ()), (204, ()), (301, ("Location: /x",)))),
]  # fmt: skip
FRESHNESS = [
    kept("corner-two-lines", "9111-5.2", "a life in a second line", CC + "public", LIFE),
    kept("corner-two-lives", "9111-4.2.1", "of two lines the first life counts", LIFE, CC + "max-age=0"),
    kept("corner-s-maxage-expires", "9111-4.2.1", "s-maxage wins over Expires", CC + "s-maxage=3600", "Expires: 0"),
    not_kept("corner-s-maxage-junk", "9111-4.2.1", "an s-maxage that cannot be read hides max-age", CC + "s-maxage=x, max-age=3600"),
    not_kept("corner-semicolon", "9111-5.2", "a semicolon divides nothing", CC + "max-age=3600; public"),
    not_kept("corner-expires-epoch", "9111-5.3", "the beginning of time is past", "Expires: Thu, 01 Jan 1970 00:00:00 GMT"),
    kept("corner-expires-9999", "9111-5.3", "the last day that can be written is not", "Expires: Fri, 31 Dec 9999 23:59:59 GMT"),
    kept("corner-expires-leap-second", "9110-5.6.7", "a leap second is a time", "Expires: Fri, 31 Dec 2060 23:59:60 GMT"),
    not_kept("corner-expires-age", "9111-4.2.3", "Age counts against Expires", "Expires: <now+100>", "Age: 200"),
    kept("corner-expires-no-date", "9111-4.2.1", "Expires without Date counts from the receipt", "Expires: <now+100>", date=None),
    not_kept("corner-modified-ahead", "9111-4.2.2", "nothing is guessed from a Last-Modified that is to come", "Last-Modified: <now+1000>"),
    not_kept("corner-modified-junk", "9111-4.2.2", "nor from one that is no date", "Last-Modified: long ago"),
    kept("corner-pragma-guess", "9111-5.4", "Pragma in an answer does not hinder a guess", LM, "Pragma: no-cache"),
    case("corner-guess-query", "9111-4.2.2", "a query neither", step(answer(LM), at="?x=1"), step(at="?x=1")),
    not_kept("corner-apparent-age", "9111-4.2.3", "an old Date is an age", CC + "max-age=100", date="<now-200>"),
    kept("corner-date-junk", "9111-4.2.3", "a Date that is none makes nothing old", LIFE, date="yesterday"),
    kept("corner-public-302-guess", "9111-4.2.2", "a 302 that is public may be fresh by a guess", CC + "public", LM, "Location: /x", status=302),
    case("corner-no-cache-no-field", "9111-5.2.2.4", "no-cache of no field is of all", step(answer(CC + 'no-cache="", max-age=3600', TAG)), step(RENEWED, status=200, body=OWN)),
    not_kept("corner-private-no-field", "9111-5.2.2.7", "so is private", CC + 'private="", max-age=3600'),
    *(kept(f"corner-status-{status}", "9111-3", f"{status} is kept when it says for how long", LIFE, status=status) for status in (226, 299, 305, 399, 408, 417, 426, 506, 511)),
    kept("corner-status-205", "9111-3", "205 too, without content", LIFE, status=205, body=""),
    *(not_kept(f"corner-must-understand-{status}", "9111-5.2.2.3", f"what {status} means for a cache is not known here", LIFE + ", must-understand, no-store", status=status) for status in (226, 429)),
    kept("corner-cdn-display-string", "9651-4.2.10", "a display string spoils nothing", CDN + 'max-age=3600, x=%"f%c3%bc"', CC + "no-store"),
    kept("corner-cdn-date", "9651-4.2.9", "nor does a date", CDN + "max-age=3600, x=@1659578233", CC + "no-store"),
    kept("corner-cdn-inner-list", "9651-4.2.1.2", "nor an inner list", CDN + 'max-age=3600, x=(a "b" 1.5);c', CC + "no-store"),
    case("corner-cdn-no-cache-field", "9213-2.2", "no-cache of a field in it", step(answer(CDN + 'max-age=3600, no-cache="X-A"', "X-A: 1")), step(gets={"X-A": None})),
    kept("corner-cdn-without-life", "9213-2.2", "without a life in it there is only the guess", CDN + "public", CC + "max-age=0", LM),
]  # fmt: skip
VARY = [
    kept("corner-vary-host", "9111-4.1", "Vary: Host, which is part of the target", LIFE, "Vary: Host"),
    case("corner-vary-range", "9111-4.1", "Vary: Range, which is answered here", step(answer(LIFE, "Vary: Range", TAG, body=TEXT)), step(ask=["Range: bytes=0-1"], status=206, body="01")),
    case("corner-vary-condition", "9111-4.1", "Vary: If-None-Match, which is too", step(answer(LIFE, "Vary: If-None-Match", TAG)), step(ask=['If-None-Match: "a"'], status=304, body=None)),
    case("corner-vary-cookie", "9111-4.1", "Vary: Cookie", step(answer(LIFE, "Vary: Cookie"), ask=["Cookie: a=1"]), step(ask=["Cookie: a=1"]), step(answer(LIFE, "Vary: Cookie", body=NEW), ask=["Cookie: a=2"])),
    case("corner-vary-authorization", "9111-4.1", "Vary: Authorization", step(answer(CC + "public, max-age=3600", "Vary: Authorization"), ask=["Authorization: x"]), step(ask=["Authorization: x"]), step(answer(LIFE, body=NEW), ask=["Authorization: y"])),
    case("corner-vary-empty-members", "9110-5.6.1", "empty members of Vary are none", step(answer(LIFE, "Vary: ,,Foo ,, "), ask=["Foo: 1"]), step(ask=["Foo: 1"]), step(answer(LIFE, body=NEW), ask=["Foo: 2"])),
    case("corner-vary-around", "9111-4.1", "blanks around a value are not part of it", step(answer(LIFE, "Vary: Foo"), ask=["Foo:  1 "]), step(ask=["Foo: 1"])),
    case("corner-vary-directives", "9111-4.1", "Vary: Cache-Control", step(answer(LIFE, "Vary: Cache-Control"), ask=[CC + "max-age=50"]), step(ask=[CC + "max-age=50"])),
    case("corner-vary-404", "9111-4.1", "a 404 varies as others do", step(answer(LIFE, "Vary: Foo", status=404), ask=["Foo: 1"]), step(answer(LIFE, "Vary: Foo", body=NEW), ask=["Foo: 2"]), step(ask=["Foo: 1"], status=404)),
    case("corner-vary-head", "9111-4.1", "HEAD gets the variant that suits it", step(answer(LIFE, "Vary: Foo", "X: 1"), ask=["Foo: 1"]), step(answer(LIFE, "Vary: Foo", "X: 2", body=NEW), ask=["Foo: 2"]), step(method="HEAD", ask=["Foo: 1"], gets={"X": "1"})),
    case("corner-vary-language-none", "9111-4.1", "no language is another wish than one", step(answer(LIFE, "Vary: Accept-Language"), ask=["Accept-Language: en"]), step(answer(LIFE, "Vary: Accept-Language", body=NEW))),
]  # fmt: skip
WISHES = [
    case("corner-min-fresh-junk", "9111-5.2.1.3", "a min-fresh that cannot be read asks for nothing", step(FRESH), step(ask=[CC + "min-fresh=x"])),
    case("corner-max-age-quoted", "9111-5.2.1.1", "max-age in quotes is read", step(answer(LIFE, "Age: 5")), step(CHANGED, ask=[CC + 'max-age="0"'])),
    case("corner-no-cache-argument", "9111-5.2.1.4", "a request's no-cache has no argument: one is ignored", step(FRESH), step(CHANGED, ask=[CC + 'no-cache="x"'])),
    case("corner-pragma-case", "9111-5.4", "Pragma knows no case", step(FRESH), step(CHANGED, ask=["Pragma: NO-CACHE"])),
    case("corner-pragma-list", "9111-5.4", "and is a list", step(FRESH), step(CHANGED, ask=["Pragma: a, no-cache"])),
    case("corner-swr-max-age", "9111-5.2.1.1", "who sets a limit does not get what is stale", step(answer(*OLD_SWR)), step(CHANGED, ask=[CC + "max-age=100"])),
    case("corner-no-cache-lost", "9111-5.2.1.4", "who wants it validated gets an error when nobody can", step(answer(LIFE, TAG)), step(GONE, ask=[CC + "no-cache"], status=502, body=None, gets={"Cache-Status": "~fwd=request"})),
    case("corner-no-cache-503", "9111-5.2.1.4", "or the origin's own", step(answer(CC + "max-age=3600, stale-if-error=60", "Age: 1")), step(answer(status=503, body="no"), ask=[CC + "no-cache"])),
    case("corner-no-store-503", "9111-5.2.1.5", "no-store too", step(answer(*OLD_SIE)), step(answer(status=503, body="no"), ask=[CC + "no-store"])),
    case("corner-options-503", "5861-4", "what is stored for GET is no stand-in for another method", step(answer(*OLD_SIE)), step(answer(status=503, body="no"), method="OPTIONS")),
]  # fmt: skip
STAND_IN = [
    case("corner-lost-then-back", "9111-4.2.4", "what stood in for an error is asked about again", step(answer(CC + "max-age=10", "Age: 20")), step(GONE, status=200, body=OWN, gets={"Age": ">=20"}), step(CHANGED)),
    case("corner-sie-cdn", "9213-2.2", "stale-if-error in a targeted field", step(answer(CDN + "max-age=10, stale-if-error=60", "Age: 20")), step(answer(status=500), status=200, body=OWN)),
    case("corner-sie-head", "5861-4", "HEAD gets the stand-in too", step(answer(*OLD_SIE)), step(answer(status=500), method="HEAD", status=200)),
    case("corner-sie-range", "5861-4", "a range is cut from it", step(answer(*OLD_SIE, TAG, body=TEXT)), step(answer(status=503), ask=["Range: bytes=0-1"], status=206, body="01")),
    case("corner-sie-condition", "5861-4", "a condition is compared with it", step(answer(*OLD_SIE, TAG)), step(answer(status=503), ask=['If-None-Match: "a"'], status=304, body=None)),
    case("corner-sie-vary", "5861-4", "a variant stands in for itself", step(answer(*OLD_SIE, "Vary: Foo"), ask=["Foo: 1"]), step(answer(status=503), ask=["Foo: 1"], status=200, body=OWN)),
    case("corner-sie-404", "5861-4", "a 404 may stand in for a 500", step(answer(*OLD_SIE, status=404)), step(answer(status=500), status=404, body=OWN)),
    case("corner-swr-head", "5861-3", "a renewal behind HEAD brings the whole", step(answer(*OLD_SWR)), step(behind=answer(LIFE, body=NEW), method="HEAD", sees_method="GET", status=200), step(body=NEW, soon=True)),
    case("corner-swr-range", "5861-3", "behind a range too", step(answer(*OLD_SWR, TAG, body=TEXT)), step(behind=answer(LIFE, 'ETag: "b"', body=NEW), ask=["Range: bytes=0-1"], status=206, body="01"), step(body=NEW, soon=True)),
    case("corner-swr-condition", "5861-3", "and behind a 304", step(answer(*OLD_SWR, TAG)), step(behind=answer(LIFE, 'ETag: "b"', body=NEW), ask=['If-None-Match: "a"'], status=304, body=None), step(body=NEW, soon=True)),
    not_kept("corner-503-retry-after", "9111-3", "Retry-After is no life", "Retry-After: 100", status=503),
]  # fmt: skip
INVALIDATING = [
    case("corner-unsafe-207", "9111-4.4", "a 207 is a success", step(FRESH), step(answer(status=207, body="x"), method="POST"), AGAIN),
    case("corner-unsafe-301", "9111-4.4", "a redirect is no error", step(FRESH, at="/o"), step(answer("Content-Location: o", status=301, body="x"), at="/p", method="POST"), step(CHANGED, at="/o")),
    case("corner-unsafe-lost", "9111-4.4", "no answer is no success", step(FRESH), step(GONE, method="POST", status=502, body=None, gets={"Cache-Status": "~fwd=method"}), HIT),
    case("corner-unsafe-both-fields", "9111-4.4", "both fields count", step(FRESH, at="/o"), step(answer("Content-Location: o", "Location: /zz", body="x"), at="/p", method="POST"), step(CHANGED, at="/o")),
    *(case(f"corner-safe-{method.lower()}", "9110-9.2.1", f"{method} is safe: nothing is invalid after it", step(FRESH), step(answer(body="x"), method=method, sent="q"), HIT) for method in ("PROPFIND", "REPORT", "SEARCH")),
    case("corner-get-with-content", "9110-9.3.1", "a GET with content goes on with it, and is not kept", step(answer(LIFE, body="x"), sent="hello", sees_body="hello"), AGAIN),
]  # fmt: skip
CROSSED = [
    *(case(f"corner-head-of-{status}", "9110-9.3.2", f"HEAD is answered by a stored {status}", step(answer(LIFE, status=status)), step(method="HEAD", status=status)) for status in (203, 301, 404, 410, 503, 599)),
    case("corner-query-empty", "9111-2", "a question mark alone is another URI", step(FRESH), step(CHANGED, at="?", sees_target="{path}"), HIT, step(at="?", body=NEW)),
    case("corner-range-of-validated", "9111-4.3.4", "a part of what a 304 has renewed", step(answer(STALE, TAG, body=TEXT)), step(RENEWED, status=200, body=TEXT), step(ask=["Range: bytes=0-1"], status=206, body="01")),
    case("corner-range-of-empty", "9110-14.1.1", "an empty object has no first byte", step(answer(LIFE, TAG, body="")), step(ask=["Range: bytes=0-"], status=416, body=None, gets={"Content-Range": "bytes */0"})),
    case("corner-private-field-renewed", "9111-5.2.2.7", "a 304 does not bring back a field that is one client's", step(answer(CC + 'max-age=0, private="X-A"', TAG, "X-A: 1")), step(answer(CC + 'max-age=3600, private="X-A"', TAG, "X-A: 2", status=304), status=200, body=OWN), step(gets={"X-A": None})),
    case("corner-cdn-renewed", "9213-2.2", "a targeted field in a 304 wins, too", step(answer(CDN + "max-age=0", TAG)), step(answer(CDN + "max-age=3600", CC + "no-store", TAG, status=304), status=200, body=OWN), HIT),
    case("corner-tags-of-variants", "9111-4.3.2", "the client's tags are compared with the variant that suits", step(answer(LIFE, "Vary: Foo", 'ETag: "1"'), ask=["Foo: 1"]), step(answer(LIFE, "Vary: Foo", 'ETag: "2"'), ask=["Foo: 2"]), step(ask=["Foo: 2", 'If-None-Match: "1"'], status=200), step(ask=["Foo: 2", 'If-None-Match: "1", "2"'], status=304, body=None)),
    case("corner-stand-in-of-variants", "9111-4.2.4", "one variant stands in for itself alone", step(answer(CC + "max-age=10", "Age: 20", "Vary: Foo"), ask=["Foo: 1"]), step(GONE, ask=["Foo: 1"], status=200, body=OWN), step(GONE, ask=["Foo: 2"], status=502, body=None)),
    case("corner-match-of-stale", "9111-4.3.2", "If-Match on what is stale: it is validated by its own tag", step(answer(STALE, TAG)), step(RENEWED, ask=['If-Match: "b"'], status=200, body=OWN, sees={"If-None-Match": '"a"'})),
    case("corner-guess-must-revalidate", "9111-4.2.2", "a guess is good beside must-revalidate, while it lasts", step(answer(LM, CC + "must-revalidate")), HIT),
    not_kept("corner-expires-of-two", "9111-5.3", "two dates in one line are none", "Expires: <now+100>, <now+100>"),
    case("corner-max-age-range", "9111-5.2.1.1", "a range that is too old for its client", step(answer(LIFE, TAG, "Age: 10", body=TEXT)), step(_part(2, 3, TAG), ask=["Range: bytes=2-3", CC + "max-age=5"], status=206, body="23")),
    case("corner-connection-close", "9112-9.6", "who closes says so, on both sides", step(answer(LIFE, "Connection: close"), ask=["Connection: close"], gets={"Connection": "close"}), HIT),
    case("corner-put-304", "9111-4.4", "a 304 to an unsafe method is no error", step(FRESH), step(answer(status=304), method="PUT", status=304, body=None), AGAIN),
    case("corner-post-412", "9111-4.4", "a 412 is one", step(FRESH), step(answer(status=412, body="no"), method="POST"), HIT),
    case("corner-nothing-added", "9110-7.7", "a plain cache adds no fields of content", step(FRESH), step(gets={"Content-Type": None, "Accept-Ranges": None, "Access-Control-Allow-Origin": None})),
]  # fmt: skip
MESSAGES = [
    case("corner-origin-1.0", "9112-2.3", "an origin of HTTP/1.0", step(_raw(LIFE, "Content-Length: 8", status="HTTP/1.0 200 OK")), HIT),
    case("corner-no-reason", "9112-4", "a status line without a reason", step(_raw(LIFE, "Content-Length: 8", status="HTTP/1.1 200"), status=200), HIT),
    case("corner-chunk-extension", "9112-7.1.1", "chunk extensions are ignored", step(Answer(raw="HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n8;a=b\r\nthe body\r\n0\r\n\r\n")), HIT),
    *(case(f"corner-upstream-{name}", section, says, step(_raw(*lines), status=502, body=None), step(FRESH), HIT) for name, section, says, lines in (
        ("two-framings", "9112-6.3", "an answer with two framings is a fault upstream", ("Transfer-Encoding: chunked", "Content-Length: 8")),
        ("two-lengths", "9112-6.3", "one with two lengths too", ("Content-Length: 8", "Content-Length: 9")),
        ("unknown-coding", "9112-6.1", "one in a transfer coding that nobody asked for too", ("Transfer-Encoding: gzip, chunked",)),
        ("folded", "9112-5.2", "one with a folded line too", ("X: a", "  b", "Content-Length: 8")),
    )),
    case("corner-204-length", "9110-8.6", "a 204 is told without a length", step(_raw(LIFE, "Content-Length: 0", status="HTTP/1.1 204 No Content", body=""), status=204, gets={"Content-Length": None}), step(status=204, gets={"Content-Length": None})),
    case("corner-101", "9110-15.2.2", "nobody asked to switch protocols", step(_raw("Upgrade: x", "Connection: upgrade", status="HTTP/1.1 101 Switching Protocols", body=""), status=502, body=None), step(FRESH)),
    case("corner-max-forwards-get", "9110-7.6.2", "Max-Forwards means nothing to GET", step(FRESH, ask=["Max-Forwards: 0"])),
    case("corner-age-adds", "9111-4.2.3", "the Age that came counts on", step(answer(LIFE, "Age: 100")), step(gets={"Age": ">=100"})),
    case("corner-age-of-old-date", "9111-5.1", "an answer that the origin gave just now has no Age, however old it calls itself", step(answer(LIFE, date="<now-100>"), gets={"Age": None}), step(gets={"Age": ">=100"})),
    case("corner-age-of-304", "9111-5.1", "nor has one that it said just now is good", step(answer(STALE, TAG, date="<now-100>")), step(answer(LIFE, TAG, status=304, date="<now-100>"), status=200, body=OWN, gets={"Age": None}), step(gets={"Age": ">=100"})),
    case("corner-age-of-aged-304", "9111-5.1", "unless it was not the origin who said so", step(answer(STALE, TAG)), step(answer(LIFE, TAG, "Age: 30", status=304), status=200, body=OWN, gets={"Age": ">=30"})),
    case("corner-age-passed", "9111-5.1", "the Age that came is told", step(answer(LIFE, "Age: 30"), gets={"Age": ">=30"})),
    case("corner-age-of-completed", "9111-5.1", "what is in part from here has one", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(_part(4, 9, TAG), status=200, body=TEXT, gets={"Age": ">=0"})),
    case("corner-large-head", "9110-5.4", "a head of 30 KB stays", step(answer(LIFE, *[f"X-{n}: {'a' * 500}" for n in range(60)])), step(gets={"X-59": "a" * 500})),
    case("corner-many-fields", "9110-5.4", "and one of 150 fields", step(answer(LIFE, *[f"X-{n}: a" for n in range(150)])), step(gets={"X-149": "a"})),
    case("corner-range-of-post", "9110-14.2", "a range of another method is the origin's affair", step(answer("Content-Range: bytes 0-1/4", status=206, body="ab"), method="POST", ask=["Range: bytes=0-1", 'If-Range: "a"'], sees={"Range": "bytes=0-1", "If-Range": '"a"'}, gets={"Content-Range": "bytes 0-1/4"})),
    case("corner-condition-of-post", "9110-13.2.1", "so is a condition", step(answer(status=304), method="POST", ask=['If-None-Match: "a"'], status=304, body=None, sees={"If-None-Match": '"a"'})),
    case("corner-options-with-content", "9110-9.3.7", "OPTIONS may have content", step(answer(body="x"), method="OPTIONS", sent="abc", sees_body="abc")),
    case("corner-delete-with-content", "9110-9.3.5", "DELETE too", step(answer(body="x"), method="DELETE", sent="abc", sees_body="abc")),
    case("corner-options-of-server", "9110-7.6.2", "OPTIONS * that may go no further", step(raw="OPTIONS * HTTP/1.1\r\nHost: cache.example\r\nMax-Forwards: 0\r\n\r\n", method="OPTIONS", status=204, body=None)),
    case("corner-post-without-content", "9110-8.6", "who posts nothing says so", step(answer(body="x"), method="POST", sees={"Content-Length": "0"})),
    case("corner-delete-without-content", "9110-8.6", "who deletes need not", step(answer(body="x"), method="DELETE", sees={"Content-Length": None})),
    case("corner-loop-parameter", "8586-2", "a parameter that has our name is not us", step(FRESH, ask=["CDN-Loop: other; edge=1"])),
]  # fmt: skip
TOLD = [
    case("corner-told-304", "9211-2.1", "Cache-Status of a 304 from here", step(answer(LIFE, TAG)), step(ask=['If-None-Match: "a"'], status=304, body=None, gets={"Cache-Status": "~edge; hit; ttl="}), video=True),
    case("corner-told-416", "9211-2.1", "of a 416 from here", step(WHOLE), step(ask=["Range: bytes=50-"], status=416, body=None, gets={"Cache-Status": "~edge; hit; ttl="}), video=True),
    case("corner-told-only-if-cached", "9211-2.2", "what did not go on has no fwd", step(ask=[CC + "only-if-cached"], status=504, body=None, gets={"Cache-Status": "!fwd="})),
    case("corner-told-loop", "9211-2.2", "nor has a loop", step(ask=["CDN-Loop: edge"], status=508, body=None, gets={"Cache-Status": "!fwd="}), video=True),
    case("corner-told-lost", "9211-2.2", "an error upstream tells why it went on", step(GONE, status=502, body=None, gets={"Cache-Status": "~edge; fwd=uri-miss; detail="})),
    case("corner-told-lost-stale", "9211-2.2", "and that what is stored was stale", step(answer(CC + "max-age=10, must-revalidate", "Age: 20")), step(GONE, status=504, body=None, gets={"Cache-Status": "~edge; fwd=stale; detail="})),
    case("corner-told-405", "9211-2", "a refused method has a member too", step(method="TRACE", status=405, body=None, gets={"Cache-Status": "~edge; detail="}), video=True),
    case("corner-told-preflight", "9211-2", "so has what is answered here", step(method="OPTIONS", ask=["Max-Forwards: 0"], status=204, body=None, gets={"Cache-Status": "edge; detail=preflight"}), video=True),
    case("corner-told-no-store", "9211-2.5", "of what nobody else may have", step(FRESH, ask=[CC + "no-store"], gets={"Cache-Status": "!stored"})),
    case("corner-told-no-cache", "9211-2.3", "of what is validated each time", step(answer(CC + "no-cache", TAG)), step(answer(CC + "no-cache", TAG, status=304), status=200, body=OWN, gets={"Cache-Status": "~fwd=stale; fwd-status=304"})),
]  # fmt: skip
CASES = [*VALIDATION, *PARTS, *FRESHNESS, *VARY, *WISHES, *STAND_IN, *INVALIDATING, *CROSSED, *MESSAGES, *TOLD]
