"""RFC 9111 sections 3.3 and 3.4: what is stored of an answer, what it is good for, and how the rest is added."""

from tests.conformance.build import CHANGED, NEW, answer, case, step
from tests.conformance.case import Answer

CC = "Cache-Control: "
LIFE, STALE, TAG = CC + "max-age=3600", CC + "max-age=0", 'ETag: "a"'
LM = "Last-Modified: <now-100000>"
TEXT = "0123456789"
WHOLE = answer(LIFE, TAG, body=TEXT)
OTHER = answer(LIFE, 'ETag: "b"', body="abcdefghij")
GONE = Answer(hang_up=True)


def _part(first: int, last: int, *lines: str, life: str = LIFE) -> Answer:
    return answer(life, f"Content-Range: bytes {first}-{last}/10", *lines, status=206, body=TEXT[first : last + 1])


def _ask(first: int, last: int) -> list[str]:
    return [f"Range: bytes={first}-{last}"]


_BEGUN = step(_part(0, 3, TAG), ask=_ask(0, 3))
_KEPT = step(ask=_ask(1, 2), status=206, body="12")
COMPLETED = [
    case("complete-rest", "9111-3.4", "only the rest is asked for, if it is of the same version", _BEGUN, step(_part(4, 9, TAG), status=200, body=TEXT, sees={"Range": "bytes=4-", "If-Range": '"a"', "If-None-Match": None}, gets={"Cache-Status": "~fwd=partial; fwd-status=206; stored"}), step(body=TEXT)),
    case("complete-range", "9111-3.4", "of a range too", _BEGUN, step(_part(4, 6, TAG), ask=_ask(2, 6), status=206, body="23456", sees={"Range": "bytes=4-6"}), step(ask=_ask(0, 6), status=206, body="0123456")),
    case("complete-suffix", "9111-3.4", "and of the last bytes", _BEGUN, step(_part(4, 9, TAG), ask=["Range: bytes=-8"], status=206, body="23456789", sees={"Range": "bytes=4-"}), step(body=TEXT)),
    case("complete-as-asked", "9110-14.2", "a last byte that the client named is asked for", _BEGUN, step(_part(4, 9, TAG), ask=_ask(2, 9), status=206, body="23456789", sees={"Range": "bytes=4-9"})),
    case("complete-two-holes", "9111-3.4", "before and behind what is there", step(_part(2, 3, TAG), ask=_ask(2, 3)), step(_part(0, 1, TAG), behind=_part(4, 9, TAG), status=200, body=TEXT), step(body=TEXT)),
    case("complete-answered-whole", "9111-3.4", "an origin that sends the whole instead: that is the answer", _BEGUN, step(WHOLE), step(body=TEXT)),
    case("complete-changed", "9111-3.4", "one that has another version sends that", _BEGUN, step(OTHER), step(body="abcdefghij")),
    case("complete-no-validator", "9111-3.4", "or one of which nobody knows which it is", _BEGUN, step(answer(LIFE, body="abcdefghij")), step(body="abcdefghij")),
    case("complete-other-part", "9111-3.4", "a part of another version is never put to the first", _BEGUN, step(_part(4, 9, 'ETag: "b"'), behind=_part(0, 3, 'ETag: "b"'), status=200, body=TEXT, gets={"ETag": '"b"'})),
    case("complete-404", "9111-3.3", "if it is gone that is the answer", _BEGUN, step(answer(LIFE, status=404, body="no")), step(status=404, body="no")),
    case("complete-416", "9111-3.3", "if it is shorter by now the whole is asked for", _BEGUN, step(answer(status=416, body="x"), behind=answer(LIFE, 'ETag: "b"', body="abc"), status=200, body="abc"), step(body="abc")),
    case("complete-503", "9111-3.3", "an error is passed on, and what is stored stays", _BEGUN, step(answer(status=503, body="no")), _KEPT),
    case("complete-lost", "9111-3.3", "when nobody answers there is no answer", _BEGUN, step(GONE, status=502, body=None, gets={"Cache-Status": "~fwd=partial; detail="}), _KEPT),
    case("complete-not-in-place-of-error", "5861-4", "a part stands in for itself, not for the whole", step(_part(0, 3, TAG, life=CC + "max-age=10, stale-if-error=60\r\nAge: 20"), ask=_ask(0, 3)), step(answer(status=503, body="no")), step(answer(status=503, body="no"), ask=_ask(1, 2), status=206, body="12")),
    case("complete-only-if-cached", "9111-5.2.1.7", "a part is not the whole that a client wants from the cache", _BEGUN, step(ask=[CC + "only-if-cached"], status=504, body=None), step(ask=[CC + "only-if-cached", *_ask(1, 2)], status=206, body="12")),
    case("complete-several", "9110-14.2", "several parts of which some are missing: the whole is asked for", step(_part(2, 5, TAG), ask=_ask(2, 5)), step(_part(0, 1, TAG), behind=_part(6, 9, TAG), ask=["Range: bytes=0-1,7-8"], status=206, body=None, sees_method="GET", gets={"Content-Type": "~multipart"})),
    case("complete-head", "9110-9.3.2", "HEAD tells of the whole", _BEGUN, step(method="HEAD", status=200, gets={"Content-Length": "10", "Content-Range": None})),
]  # fmt: skip
ALONE = [
    case("alone-same", "9111-3.3", "a part without a validator is kept for who asks for it", step(_part(2, 5), ask=_ask(2, 5)), step(ask=_ask(2, 5), status=206, body="2345", gets={"Content-Range": "bytes 2-5/10"})),
    case("alone-within", "9111-3.3", "or for less", step(_part(2, 7), ask=_ask(2, 7)), step(ask=_ask(3, 5), status=206, body="345", gets={"Content-Range": "bytes 3-5/10"})),
    case("alone-suffix", "9111-3.3", "the last bytes too", step(_part(4, 9), ask=["Range: bytes=-6"]), step(ask=["Range: bytes=-2"], status=206, body="89")),
    case("alone-several", "9111-3.3", "or for several within", step(_part(2, 7), ask=_ask(2, 7)), step(ask=["Range: bytes=2-3,6-7"], status=206, body=None, gets={"Content-Type": "~multipart"})),
    case("alone-date", "9111-3.3", "with a date it is as without", step(_part(2, 5, LM), ask=_ask(2, 5)), step(ask=_ask(2, 5), status=206, body="2345")),
    case("alone-weak", "9111-3.4", "with a weak tag too: it is never completed", step(_part(2, 5, 'ETag: W/"a"'), ask=_ask(2, 5)), step(ask=_ask(3, 4), status=206, body="34"), step(WHOLE, sees={"Range": None, "If-Range": None, "If-None-Match": None}), step(body=TEXT)),
    case("alone-more", "9111-3.4", "who wants more gets an answer of his own, which takes its place", step(_part(2, 5), ask=_ask(2, 5)), step(_part(4, 8), ask=_ask(4, 8)), step(ask=_ask(5, 8), status=206, body="5678"), step(_part(2, 5), ask=_ask(2, 5))),
    case("alone-416", "9111-3.3", "it tells how long the whole is", step(_part(2, 5), ask=_ask(2, 5)), step(ask=["Range: bytes=20-"], status=416, body=None, gets={"Content-Range": "bytes */10"})),
    case("alone-validated", "9111-4.3.4", "stale, it is validated", step(_part(2, 5, LM, life=STALE), ask=_ask(2, 5)), step(answer(LIFE, LM, status=304), ask=_ask(2, 5), status=206, body="2345", sees={"If-Modified-Since": "<now-100000>"}), step(ask=_ask(3, 3), status=206, body="3")),
    case("alone-not-validated-for-more", "9111-3.3", "but not for who wants more: there would be nothing to send", step(_part(2, 5, LM, life=STALE), ask=_ask(2, 5)), step(answer(LIFE, LM, body=TEXT), sees={"If-Modified-Since": None}), step(body=TEXT)),
    case("alone-no-cache", "9111-5.2.1.4", "nor for who wants it anew", step(_part(2, 5, LM), ask=_ask(2, 5)), step(answer(LIFE, LM, body=TEXT), ask=[CC + "no-cache"], sees={"If-Modified-Since": None})),
    case("alone-vary", "9111-4.1", "it varies as others do", step(_part(0, 3, "Vary: Foo"), ask=[*_ask(0, 3), "Foo: 1"]), step(ask=[*_ask(0, 3), "Foo: 1"], status=206, body="0123"), step(_part(0, 3, "Vary: Foo"), ask=[*_ask(0, 3), "Foo: 2"])),
    case("alone-head", "9110-9.3.2", "HEAD tells of the whole", step(_part(0, 3), ask=_ask(0, 3)), step(method="HEAD", status=200, gets={"Content-Length": "10"})),
    case("alone-no-store", "9111-5.2.2.5", "no-store holds for it", step(_part(2, 5, life=CC + "no-store"), ask=_ask(2, 5)), step(_part(2, 5), ask=_ask(2, 5))),
    case("alone-whole-after", "9111-3.3", "it is no answer to who asks for all", step(_part(0, 8), ask=_ask(0, 8)), step(CHANGED), step(body=NEW)),
]  # fmt: skip
CASES = [*COMPLETED, *ALONE]
