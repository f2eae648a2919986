"""RFC 9110 section 14 and RFC 9111 sections 3.3 and 3.4: parts, from a whole, kept, combined."""

from typing import Any

from tests.conformance.build import NEW, answer, case, step
from tests.conformance.case import Answer, Case

LIFE, TAG = "Cache-Control: max-age=3600", 'ETag: "a"'
TEXT = "0123456789"
WHOLE = answer(LIFE, TAG, body=TEXT)


def _cut(name: str, says: str, asked: str, body: str, part: str | None, status: int = 206) -> Case:
    gets = {"Content-Range": part, "Content-Length": str(len(body))} if part else {"Content-Range": None}
    return case(
        f"range-{name}",
        "9110-14.1.2",
        says,
        step(WHOLE),
        step(ask=[f"Range: {asked}"], status=status, body=body, gets=gets),
        video=True,
    )


def _part(first: int, last: int, *lines: str, total: str = "10", **more: Any) -> Answer:
    return answer(
        LIFE, f"Content-Range: bytes {first}-{last}/{total}", *lines, status=206, body=TEXT[first : last + 1], **more
    )


FROM_WHOLE = [
    _cut("first", "from the first byte", "bytes=0-3", "0123", "bytes 0-3/10"),
    _cut("middle", "from the middle", "bytes=4-6", "456", "bytes 4-6/10"),
    _cut("open", "to the end", "bytes=7-", "789", "bytes 7-9/10"),
    _cut("suffix", "the last bytes", "bytes=-4", "6789", "bytes 6-9/10"),
    _cut("suffix-long", "more last bytes than there are", "bytes=-40", TEXT, "bytes 0-9/10"),
    _cut("beyond", "an end beyond the end", "bytes=8-99", "89", "bytes 8-9/10"),
    _cut("one", "one byte", "bytes=0-0", "0", "bytes 0-0/10"),
    _cut("all", "all of it", "bytes=0-", TEXT, "bytes 0-9/10"),
    _cut("unit-case", "units know no case", "BYTES=0-1", "01", "bytes 0-1/10"),
    _cut("blanks", "blanks in a list", "bytes= 0-1", "01", "bytes 0-1/10"),
    _cut("other-unit", "another unit is ignored", "lines=0-1", TEXT, None, 200),
    _cut("junk", "what is no range is ignored", "bytes=a-b", TEXT, None, 200),
    _cut("reversed", "so is one that ends before it begins", "bytes=5-2", TEXT, None, 200),
    _cut("empty", "and an empty one", "bytes=", TEXT, None, 200),
    _cut("overlap", "parts that overlap become one", "bytes=0-4,3-6", "0123456", "bytes 0-6/10"),
    _cut("more-than-all", "parts that are more than the whole", "bytes=0-,0-,0-", TEXT, None, 200),
    _cut("too-many", "more parts than anybody needs", "bytes=" + ",".join(f"{n}-{n}" for n in (0, 2, 4, 6, 8) * 4), TEXT, None, 200),
    case("range-of-nothing", "9110-14.2", "of an empty object the last bytes are all of it", step(answer(LIFE, TAG, body="")), step(ask=["Range: bytes=-5"], status=200, body=""), video=True),
    case("range-of-put", "9110-14.5", "a part that is put is the origin's affair", step(answer(status=204, body=""), method="PUT", ask=["Content-Range: bytes 0-4/10"], sent="hello", sees={"Content-Range": "bytes 0-4/10"}, sees_body="hello")),
    case("range-416", "9110-15.5.17", "nothing there: 416 and the length", step(WHOLE), step(ask=["Range: bytes=20-30"], status=416, body=None, gets={"Content-Range": "bytes */10"}), video=True),
    case("range-several", "9110-14.6", "several parts", step(WHOLE), step(ask=["Range: bytes=0-1,5-6"], status=206, body=None, gets={"Content-Type": "~multipart/byteranges", "Content-Range": None}), video=True),
    case("range-of-404", "9110-14.2", "a 404 has no parts", step(answer(LIFE, status=404)), step(ask=["Range: bytes=0-1"], status=404)),
    case("range-conditional", "9110-13.2.2", "conditions come first", step(WHOLE), step(ask=["Range: bytes=0-1", 'If-None-Match: "a"'], status=304, body=None), video=True),
    case("range-other-fields", "9110-15.3.7", "a part has the fields of the whole", step(answer(LIFE, TAG, "X: 1", body=TEXT)), step(ask=["Range: bytes=0-1"], status=206, body="01", gets={"X": "1", "ETag": '"a"', "Date": "~GMT"}), video=True),
]  # fmt: skip


def _if_range(name: str, says: str, stored: list[str], value: str, whole: bool, video: bool = True) -> Case:
    ask = ["Range: bytes=0-1", f"If-Range: {value}"]
    body, status = (TEXT, 200) if whole else ("01", 206)
    return case(
        f"if-range-{name}",
        "9110-13.1.5",
        says,
        step(answer(LIFE, *stored, body=TEXT)),
        step(ask=ask, status=status, body=body),
        video=video,
    )


LM = "Last-Modified: <now-5000>"
IF_RANGE = [
    _if_range("same", "the same tag: the part", [TAG], '"a"', False),
    _if_range("other", "another: the whole", [TAG], '"b"', True),
    _if_range("weak-asked", "a weak tag never matches", [TAG], 'W/"a"', True),
    _if_range("weak-stored", "nor a weak one that is stored", ['ETag: W/"a"'], 'W/"a"', True),
    _if_range("date", "a strong date matches if it is the same", [LM], "<now-5000>", False),
    _if_range("date-other", "another date does not", [LM], "<now-4000>", True),
    _if_range("date-earlier", "nor an earlier one", [LM], "<now-6000>", True),
    _if_range("date-weak", "nor one that is of the answer's own second", ["Last-Modified: <now>"], "<now>", True),
    _if_range("date-without", "nor with nothing to compare", [TAG], "<now-5000>", True),
    _if_range("junk", "nor what is neither", [TAG], "junk", True),
    case("if-range-miss", "9110-13.1.5", "on a miss the whole is asked for, and judged", step(WHOLE, ask=["Range: bytes=0-1", 'If-Range: "a"'], status=206, body="01", sees={"Range": None, "If-Range": None}), step(body=TEXT)),
    case("if-range-alone", "9110-13.1.5", "without Range it means nothing", step(WHOLE), step(ask=['If-Range: "b"'], body=TEXT), video=True),
]  # fmt: skip
PARTS = [
    case("part-kept", "9111-3.3", "a part with a strong tag is kept", step(_part(2, 5, TAG), ask=["Range: bytes=2-5"], sees={"Range": "bytes=2-5"}), step(ask=["Range: bytes=2-5"], status=206, body="2345", gets={"Content-Range": "bytes 2-5/10"})),
    case("part-within", "9111-3.3", "and what lies within it", step(_part(2, 7, TAG), ask=["Range: bytes=2-7"]), step(ask=["Range: bytes=3-5"], status=206, body="345", gets={"Content-Range": "bytes 3-5/10"})),
    case("part-suffix-kept", "9111-3.3", "the last bytes too", step(_part(6, 9, TAG), ask=["Range: bytes=-4"], sees={"Range": "bytes=-4"}), step(ask=["Range: bytes=7-9"], status=206, body="789")),
    case("part-not-whole", "9111-3.3", "a part is no answer to a request for the whole", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(_part(4, 9, TAG), status=200, body=TEXT, sees={"Range": "bytes=4-", "If-Range": '"a"'}), step(body=TEXT)),
    case("parts-combined", "9111-3.4", "parts of one version are combined", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(_part(4, 9, TAG), ask=["Range: bytes=4-9"]), step(body=TEXT)),
    case("parts-no-validator", "9111-3.4", "without a strong validator never", step(_part(0, 3), ask=["Range: bytes=0-3"]), step(_part(4, 9), ask=["Range: bytes=4-9"]), step(answer(LIFE, body=TEXT))),
    case("parts-weak", "9111-3.4", "a weak tag is none", step(_part(0, 3, 'ETag: W/"a"'), ask=["Range: bytes=0-3"]), step(_part(4, 9, 'ETag: W/"a"'), ask=["Range: bytes=4-9"]), step(answer(LIFE, body=TEXT))),
    case("parts-other-version", "9111-3.4", "parts of two versions never", step(_part(0, 3, TAG), ask=["Range: bytes=0-3"]), step(_part(4, 9, 'ETag: "b"'), ask=["Range: bytes=4-9"], gets={"ETag": '"b"'}), step(answer(LIFE, 'ETag: "c"', body=NEW), sees={"Range": "bytes=0-3", "If-Range": '"b"'}), step(body=NEW)),
    case("part-stale", "9111-3.3", "a part that is stale is validated", step(answer("Cache-Control: max-age=0", TAG, "Content-Range: bytes 0-3/10", status=206, body="0123"), ask=["Range: bytes=0-3"]), step(answer(LIFE, TAG, status=304), ask=["Range: bytes=0-3"], status=206, body="0123", sees={"If-None-Match": '"a"'})),
    case("part-200", "9110-14.2", "an origin without ranges: the whole is kept and cut", step(WHOLE, ask=["Range: bytes=2-3"], status=206, body="23"), step(body=TEXT)),
    case("part-other-range", "9110-15.3.7", "a part that is not what was asked is handed on as it is", step(_part(4, 8, TAG), ask=["Range: bytes=0-3"], gets={"Content-Range": "bytes 4-8/10"}), step(answer(LIFE, TAG, body=TEXT))),
    case("part-unasked", "9110-15.3.7", "one that nobody asked for too, and it is not kept", step(_part(4, 8, TAG), gets={"Content-Range": "bytes 4-8/10"}), step(WHOLE)),
    case("part-length-wrong", "9110-15.3.7", "one whose length contradicts it is not kept", step(answer(LIFE, TAG, "Content-Range: bytes 4-9/10", status=206, body="01234"), ask=["Range: bytes=4-9"]), step(WHOLE)),
    case("part-several-miss", "9110-14.2", "several parts of what is not there: the whole is asked for", step(WHOLE, ask=["Range: bytes=0-1,5-6"], status=206, body=None, sees={"Range": None}), step(body=TEXT)),
    case("part-416-passed", "9110-15.5.17", "a 416 is passed on and not kept", step(answer(LIFE, "Content-Range: bytes */10", status=416), ask=["Range: bytes=20-"], gets={"Content-Range": "bytes */10"}), step(WHOLE)),
    case("part-star-total", "9110-14.4", "a part of an unknown whole is not kept", step(_part(0, 3, TAG, total="*"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("part-other-unit", "9110-14.4", "a part in another unit is handed on as it is, and not kept", step(answer(LIFE, TAG, "Content-Range: lines 0-3/10", status=206, body="0123"), ask=["Range: bytes=0-3"], gets={"Content-Range": "lines 0-3/10"}), step(WHOLE)),
    case("part-reversed", "9110-14.4", "nor one that contradicts itself", step(answer(LIFE, TAG, "Content-Range: bytes 3-0/10", status=206, body="0123"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("part-beyond-total", "9110-14.4", "nor one that ends behind the end", step(answer(LIFE, TAG, "Content-Range: bytes 0-3/3", status=206, body="0123"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("part-encoded", "9111-3.3", "nor a part of an encoding", step(_part(0, 3, TAG, "Content-Encoding: gzip"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("part-multipart", "9110-15.3.7.2", "a multipart answer is passed on", step(answer(LIFE, TAG, "Content-Type: multipart/byteranges; boundary=x", status=206, body="--x--"), ask=["Range: bytes=0-3"]), step(WHOLE)),
    case("range-forwarded", "9110-14.2", "a range is asked for as it was asked", step(_part(5, 9, TAG), ask=["Range: bytes=5-"], sees={"Range": "bytes=5-"})),
    case("range-not-cached-no-store", "9111-5.2.2.5", "a part that says no-store is not kept", step(answer("Cache-Control: no-store", TAG, "Content-Range: bytes 0-3/10", status=206, body="0123"), ask=["Range: bytes=0-3"]), step(_part(0, 3, TAG), ask=["Range: bytes=0-3"])),
]  # fmt: skip
CASES = [*FROM_WHOLE, *IF_RANGE, *PARTS]
