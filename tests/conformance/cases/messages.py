"""What passes through: fields, interim answers, Via, CDN-Loop, Cache-Status, and targeted fields."""

from tests.conformance.build import AGAIN, FRESH, HIT, NEW, answer, case, kept, not_kept, step

LIFE, CC, CDN = "Cache-Control: max-age=3600", "Cache-Control: ", "CDN-Cache-Control: "
FORWARDED = [
    case(f"forward-{line.partition(':')[0].lower()}", "9110-7.6", f"{line.partition(':')[0]} reaches the origin", step(FRESH, ask=[line], sees={line.partition(":")[0]: line.partition(":")[2].strip()}))
    for line in ("X-Test: 1", "Cookie: a=b", "User-Agent: me/1", "Accept: */*", "Accept-Language: de", "Accept-Encoding: br", "Referer: http://a/", "Origin: http://a", "From: a@b", "DNT: 1", "Forwarded: for=a", "X-Empty:")
] + [
    case(f"forward-not-{name.lower()}", "9110-7.6.1", f"{name} does not", step(FRESH, ask=[f"{name}: {value}"], sees={name: None}), video=True)
    for name, value in (("Keep-Alive", "timeout=5"), ("TE", "trailers"), ("Upgrade", "h2c"), ("Proxy-Connection", "close"), ("Proxy-Authorization", "x"))
] + [
    case("forward-nominated", "9110-7.6.1", "nor what Connection names", step(FRESH, ask=["Connection: keep-alive, X-A", "X-A: 1", "X-B: 2"], sees={"X-A": None, "X-B": "2", "Connection": None})),
    case("forward-order", "9110-5.3", "lines of one field in their order", step(FRESH, ask=["X: 1", "Y: 0", "X: 2"], sees={"X": "1, 2"})),
    case("forward-via", "9110-7.6.3", "Via tells who passed it on", step(FRESH, ask=["Via: 1.1 before"], sees={"Via": "1.1 before, 1.1 edge"}), video=False),
    case("forward-cdn-loop", "8586-2", "CDN-Loop too", step(FRESH, ask=["CDN-Loop: other"], sees={"CDN-Loop": "~other, edge"}), video=True),
    case("loop-refused", "8586-2", "a request that has been here is refused", step(ask=["CDN-Loop: a, edge"], status=508, body=None), step(FRESH), step(ask=["CDN-Loop: a, edge"], soon=True), video=True),
    case("loop-other", "8586-2", "one that has been elsewhere is not", step(FRESH, ask=["CDN-Loop: edges, a; edge"]), video=True),
    case("target-as-asked", "9112-3.2.1", "path and query reach the origin as they are", step(FRESH, at="/a%2Fb//c;d?e=%20f&g", sees_target="{path}"), video=True),
]  # fmt: skip
INTERIM = [
    case("interim-103", "9110-15.2", "an interim answer is not the answer", step(answer(LIFE, interim="HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), gets={"Link": None}), step(gets={"Link": None}), video=True),
    case("interim-102-103", "9110-15.2", "nor are several", step(answer(LIFE, interim="HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n")), HIT, video=True),
    case("interim-100", "9110-15.2.1", "nor a 100 that nobody waits for", step(answer(LIFE, interim="HTTP/1.1 100 Continue\r\n\r\n")), HIT, video=True),
    case("interim-cache-control", "9111-3", "what it says of caching means nothing", step(answer(LIFE, interim="HTTP/1.1 103 Early Hints\r\nCache-Control: no-store\r\n\r\n")), HIT, video=True),
    case("interim-unknown", "9110-15.2", "nor is one that nobody knows", step(answer(LIFE, interim="HTTP/1.1 199 Odd\r\nX: 1\r\n\r\n"), gets={"X": None}), HIT, video=True),
]  # fmt: skip
TOLD = [
    case("via-told", "9110-7.6.3", "the answer tells it too", step(answer(LIFE, "Via: 1.1 up"), gets={"Via": "1.1 up, 1.1 edge"}), step(gets={"Via": "1.1 up, 1.1 edge"}), video=True),
    case("status-miss", "9211-2.2", "Cache-Status of a miss", step(FRESH, gets={"Cache-Status": "~edge; fwd=uri-miss; fwd-status=200; stored"}), video=True),
    case("status-hit", "9211-2.1", "of a hit", step(FRESH), step(gets={"Cache-Status": "~edge; hit; ttl="}), video=True),
    case("status-not-stored", "9211-2.5", "of what is not kept", step(answer(CC + "no-store"), gets={"Cache-Status": "!stored"}), video=True),
    case("status-request", "9211-2.2", "of what a client wanted anew", step(FRESH), step(answer(LIFE, body=NEW), ask=[CC + "no-cache"], gets={"Cache-Status": "~fwd=request"})),
    case("status-stale", "9211-2.2", "of what was stale", step(answer(CC + "max-age=10", "Age: 20")), step(answer(LIFE, body=NEW), gets={"Cache-Status": "~fwd=stale; fwd-status=200"}), video=False),
    case("status-members", "9211-2", "a member of an upstream comes first", step(answer(LIFE, "Cache-Status: up; hit"), gets={"Cache-Status": "~up; hit, edge; fwd=uri-miss"}), step(gets={"Cache-Status": "~up; hit, edge; hit"}), video=True),
]  # fmt: skip
_TARGETED = [
    ("fresh", (CDN + "max-age=3600",), True),
    ("fresh-over-cc", (CDN + "max-age=3600", CC + "max-age=0"), True),
    ("fresh-over-no-store", (CDN + "max-age=3600", CC + "no-store"), True),
    ("fresh-over-expires", (CDN + "max-age=3600", "Expires: 0"), True),
    ("0-over-cc", (CDN + "max-age=0", LIFE), False),
    ("no-store", (CDN + "no-store", LIFE), False),
    ("no-cache", (CDN + "no-cache", LIFE), False),
    ("private", (CDN + "private", LIFE), False),
    ("empty", (CDN.strip(), LIFE), True),
    ("junk-is-ignored", (CDN + "max-age=0, &&", LIFE), True),
    ("upper-case-is-ignored", (CDN + "Max-Age=0", LIFE), True),
    ("case-of-name", ("cdn-CACHE-control: max-age=3600", CC + "max-age=0"), True),
    ("string-number", (CDN + 'max-age="3600"', LIFE), False),
    ("decimal", (CDN + "max-age=3600.0", LIFE), False),
    ("negative", (CDN + "max-age=-3600", LIFE), False),
    ("parameter", (CDN + "max-age=3600;a=b", CC + "no-store"), True),
    ("space-before-equals", (CDN + "max-age =3600", CC + "max-age=0"), False),
    ("last-of-two", (CDN + "max-age=0, max-age=3600", CC + "no-store"), True),
    ("two-lines", (CDN + "max-age=3600", CDN + "public", CC + "no-store"), True),
    ("unknown", (CDN + "foo=bar, max-age=3600", CC + "no-store"), True),
    ("false-no-store", (CDN + "no-store=?0, max-age=3600", CC + "no-store"), True),
    ("large", (CDN + "max-age=999999999999999", CC + "no-store"), True),
    ("too-large-is-ignored", (CDN + "max-age=9999999999999999", CC + "no-store"), False),
    ("open-string-is-ignored", (CDN + 'max-age=3600, a="b', CC + "no-store"), False),
    ("trailing-comma-is-ignored", (CDN + "max-age=3600,", CC + "no-store"), False),
    ("no-store-over-life", (CDN + "max-age=3600, no-store", LIFE), False),
    ("no-cache-over-life", (CDN + "max-age=3600, no-cache", LIFE), False),
    ("private-over-life", (CDN + "max-age=3600, private", LIFE), False),
    ("s-maxage", (CDN + "s-maxage=3600, max-age=0", CC + "no-store"), True),
    ("bare-max-age", (CDN + "max-age", LIFE), False),
    ("must-revalidate", (CDN + "max-age=3600, must-revalidate", CC + "no-store"), True),
]
TARGETED = [
    (kept if fresh else not_kept)(f"cdn-cc-{name}", "9213-2", f"CDN-Cache-Control: {name}", *lines) for name, lines, fresh in _TARGETED
] + [
    case("cdn-cc-told", "9213-3.1", "it is passed on as it is", step(answer(CDN + "max-age=3600"), gets={"CDN-Cache-Control": "max-age=3600"}), step(gets={"CDN-Cache-Control": "max-age=3600"}), video=True),
    case("cdn-cc-age", "9213-2.2", "Age counts against it", step(answer(CDN + "max-age=10", "Age: 20")), AGAIN),
    case("cdn-cc-swr", "9213-2.2", "stale-while-revalidate in it", step(answer(CDN + "max-age=10, stale-while-revalidate=60", "Age: 20")), step(behind=answer(LIFE, body=NEW)), step(body=NEW, soon=True)),
    case("cdn-cc-other-target", "9213-2.2", "another cache's field means nothing, and is passed on", step(answer("Other-CDN-Cache-Control: max-age=3600", CC + "no-store"), gets={"Other-CDN-Cache-Control": "max-age=3600"}), AGAIN),
    case("cdn-cc-not-must-revalidate", "9213-2.2", "must-revalidate in it forbids what is stale", step(answer(CDN + "max-age=10, must-revalidate, stale-if-error=60", "Age: 20")), step(answer(status=503, body="no"))),
    case("cdn-cc-over-stale", "9213-2.2", "stale-while-revalidate beside it counts for nothing", step(answer(CDN + "max-age=10", CC + "max-age=10, stale-while-revalidate=60", "Age: 20")), step(answer(LIFE, body=NEW))),
]  # fmt: skip
CASES = [*FORWARDED, *INTERIM, *TOLD, *TARGETED]
