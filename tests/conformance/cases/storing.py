"""RFC 9111 section 3: what is kept, and what of it."""

from tests.conformance.build import AGAIN, FRESH, HIT, NEW, answer, case, kept, not_kept, step

CC = "Cache-Control: "
LIFE = CC + "max-age=3600"
_KEPT_STATUSES = (
    200, 201, 202, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414,
    415, 418, 421, 422, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 520, 599,
)  # fmt: skip
STATUSES = (
    [
        kept(f"status-{status}", "9111-3", f"{status} is kept when it says for how long", LIFE, status=status)
        for status in _KEPT_STATUSES
    ]
    + [
        not_kept(
            f"status-stale-{status}",
            "9111-4",
            f"{status} is asked for again when it is not fresh",
            CC + "max-age=0",
            status=status,
        )
        for status in (200, 203, 204, 301, 404, 410, 599)
    ]
    + [
        not_kept("status-416", "9110-15.5.17", "416 is about one request's range", LIFE, status=416),
        not_kept("status-412", "9110-15.5.13", "412 is about one request's conditions", LIFE, status=412),
    ]
)
DIRECTIVES = [
    not_kept("no-store", "9111-5.2.2.5", "no-store is not kept", CC + "no-store"),
    not_kept("no-store-with-life", "9111-5.2.2.5", "no-store wins over a life", CC + "no-store, max-age=3600"),
    not_kept("no-store-last", "9111-5.2.2.5", "no-store counts wherever it stands", CC + "max-age=3600, no-store"),
    not_kept("no-store-case", "9111-5.2", "no-store in another case", CC + "max-age=3600, No-StOrE"),
    not_kept(
        "no-store-argument", "9111-5.2", "no-store with an argument nobody knows", CC + "max-age=3600, no-store=1"
    ),
    not_kept("no-store-expires", "9111-5.2.2.5", "no-store wins over Expires", CC + "no-store", "Expires: <now+3600>"),
    not_kept(
        "no-store-heuristic",
        "9111-5.2.2.5",
        "no-store wins over a guess",
        CC + "no-store",
        "Last-Modified: <now-864000>",
    ),
    not_kept("no-store-second-line", "9111-5.2", "no-store in a line of its own", LIFE, CC + "no-store"),
    kept("no-store-in-quotes", "9111-5.2", "no-store within quotes is none", CC + 'ext="no-store", max-age=3600'),
    kept("no-store-prefixed", "9111-5.2", "x-no-store is none", CC + "x-no-store, max-age=3600"),
    not_kept("private", "9111-5.2.2.7", "private is not kept", CC + "private"),
    not_kept("private-with-life", "9111-5.2.2.7", "private with a life is not kept", CC + "private, max-age=3600"),
    not_kept("private-s-maxage", "9111-5.2.2.7", "private wins over s-maxage", CC + "private, s-maxage=3600"),
    not_kept("private-public", "9111-5.2.2.7", "private wins over public", CC + "private, public, max-age=3600"),
    not_kept("private-case", "9111-5.2", "private in another case", CC + "PRIVATE, max-age=3600"),
    not_kept("no-cache", "9111-5.2.2.4", "no-cache is asked for again", CC + "no-cache"),
    not_kept("no-cache-with-life", "9111-5.2.2.4", "no-cache wins over a life", CC + "no-cache, max-age=3600"),
    not_kept("no-cache-s-maxage", "9111-5.2.2.4", "no-cache wins over s-maxage", CC + "no-cache, s-maxage=3600"),
    not_kept("no-cache-case", "9111-5.2", "no-cache in another case", CC + "No-Cache, max-age=3600"),
    case(
        "no-cache-validated",
        "9111-5.2.2.4",
        "no-cache is kept and validated before each use",
        step(answer(CC + "no-cache", 'ETag: "a"')),
        step(
            answer(CC + "no-cache", 'ETag: "a"', status=304), status=200, body="the body", sees={"If-None-Match": '"a"'}
        ),
        step(
            answer(CC + "no-cache", 'ETag: "a"', status=304), status=200, body="the body", sees={"If-None-Match": '"a"'}
        ),
        video=True,
    ),
    case(
        "no-cache-fields",
        "9111-5.2.2.4",
        "no-cache of a field: the answer is used without it",
        step(
            answer(CC + 'max-age=3600, no-cache="x-a, X-B"', "X-A: 1", "X-B: 2", "X-C: 3"),
            gets={"X-A": "1", "X-B": "2"},
        ),
        step(gets={"X-A": None, "X-B": None, "X-C": "3"}),
        video=True,
    ),
    case(
        "private-fields",
        "9111-5.2.2.7",
        "private of a field: the answer is kept without it",
        step(answer(CC + 'max-age=3600, private="X-A"', "X-A: 1", "X-C: 3"), gets={"X-A": "1"}),
        step(gets={"X-A": None, "X-C": "3"}),
        video=True,
    ),
    case(
        "private-fields-token",
        "9111-5.2.2.7",
        "the field's name as a token",
        step(answer(CC + "max-age=3600, private=X-A", "X-A: 1"), gets={"X-A": "1"}),
        step(gets={"X-A": None}),
    ),
    kept("public", "9111-5.2.2.9", "public with a life is kept", CC + "public, max-age=3600"),
    kept(
        "must-revalidate-fresh",
        "9111-5.2.2.2",
        "must-revalidate is no matter while it is fresh",
        CC + "max-age=3600, must-revalidate",
    ),
    kept("proxy-revalidate-fresh", "9111-5.2.2.8", "nor is proxy-revalidate", CC + "max-age=3600, proxy-revalidate"),
    kept(
        "no-transform",
        "9111-5.2.2.6",
        "no-transform forbids nothing that is done here",
        CC + "max-age=3600, no-transform",
    ),
    kept(
        "must-understand", "9111-5.2.2.3", "must-understand with a known status", CC + "max-age=3600, must-understand"
    ),
    kept(
        "must-understand-no-store",
        "9111-5.2.2.3",
        "no-store gives way to must-understand",
        CC + "max-age=3600, must-understand, no-store",
    ),
    not_kept(
        "must-understand-unknown",
        "9111-5.2.2.3",
        "must-understand with a status nobody knows",
        CC + "max-age=3600, must-understand",
        status=599,
    ),
    not_kept(
        "must-understand-unknown-no-store",
        "9111-5.2.2.3",
        "then no-store holds",
        CC + "max-age=3600, must-understand, no-store",
        status=599,
    ),
    kept("immutable", "8246-2", "immutable is kept and used while fresh", CC + "max-age=3600, immutable"),
    not_kept("immutable-stale", "8246-2", "immutable holds only while it is fresh", CC + "max-age=0, immutable"),
    not_kept("immutable-alone", "8246-2", "immutable makes nothing fresh", CC + "immutable"),
    kept("immutable-argument", "8246-2", "an argument of immutable is ignored", CC + "max-age=3600, immutable=5"),
    kept("pragma-in-answer", "9111-5.4", "Pragma in an answer means nothing", "Pragma: no-cache", LIFE),
    kept("warning-in-answer", "9111-5.5", "Warning means nothing", "Warning: 110 - stale", LIFE),
    kept(
        "surrogate-control",
        "9111-5.2",
        "a field nobody has standardised means nothing",
        "Surrogate-Control: no-store",
        LIFE,
    ),
]
AUTH = ["Authorization: Basic eDp5"]
AUTHORIZATION = [
    case("auth", "9111-3.5", "an answer to credentials is not kept", step(FRESH, ask=AUTH), AGAIN),
    *(
        case(
            f"auth-{name}",
            "9111-3.5",
            f"{name} lets an answer to credentials be kept",
            step(answer(CC + f"max-age=3600, {directive}"), ask=AUTH),
            HIT,
        )
        for name, directive in (
            ("public", "public"),
            ("must-revalidate", "must-revalidate"),
            ("s-maxage", "s-maxage=3600"),
        )
    ),
    case(
        "auth-proxy-revalidate",
        "9111-3.5",
        "proxy-revalidate does not",
        step(answer(CC + "max-age=3600, proxy-revalidate"), ask=AUTH),
        AGAIN,
    ),
    case(
        "auth-of-the-second",
        "9111-3.5",
        "what is kept may be given to a request with credentials",
        step(FRESH),
        step(ask=AUTH),
    ),
    case(
        "auth-forwarded",
        "9110-11.6.2",
        "credentials reach the origin",
        step(FRESH, ask=AUTH, sees={"Authorization": "Basic eDp5"}),
    ),
    case(
        "proxy-auth-not-forwarded",
        "9110-11.7.2",
        "those for a proxy do not",
        step(FRESH, ask=["Proxy-Authorization: Basic eDp5"], sees={"Proxy-Authorization": None}),
    ),
]
_METHODS = [
    case(
        f"method-{method.lower()}",
        "9111-3",
        f"an answer to {method} is not kept, nor is one to GET given for it",
        step(FRESH),
        step(answer(LIFE, body=NEW), method=method),
        *((HIT,) if method in ("OPTIONS", "PROPFIND") else (AGAIN,)),
    )
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH")
]
_HEADERS = [
    "X-Test: 1", "Content-Language: de", "Content-Disposition: inline", "Content-Location: /elsewhere", "Allow: GET",
    "Content-Security-Policy: default-src 'none'", "Link: </a>; rel=preload", "Server: origin/1", "Retry-After: 5",
    "Clear-Site-Data: \"cookies\"", "Strict-Transport-Security: max-age=5", "X-Frame-Options: deny", "Accept-Ranges: none",
    "Set-Cookie: a=b", "Access-Control-Allow-Origin: https://a.example", "Alt-Svc: h3=\":443\"", "Content-MD5: abc",
    "WWW-Authenticate: Basic", "Authentication-Info: x", "X-Content-Foo: y", "Vary:", "Content-Foo: z", "Public-Key-Pins: a",
    "Set-Cookie2: a=b", "Expect-CT: a", "Reporting-Endpoints: a=\"b\"", "Content-Encoding: unknown", "P3P: x",
]  # fmt: skip
HEADERS = (
    [
        case(
            f"header-{line.partition(':')[0].lower()}",
            "9111-3.1",
            f"{line.partition(':')[0]} is kept and told again",
            step(answer(LIFE, line), gets={line.partition(":")[0]: line.partition(":")[2].strip()}),
            step(gets={line.partition(":")[0]: line.partition(":")[2].strip()}),
        )
        for line in _HEADERS
    ]
    + [
        case(
            f"hop-{name.lower()}",
            "9110-7.6.1",
            f"{name} is for one connection: neither kept nor passed",
            step(answer(LIFE, f"{name}: {value}"), gets={name: None if name != "Connection" else "!x"}),
            step(gets={name: None if name != "Connection" else "!x"}),
            video=True,
        )
        for name, value in (
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "X"),
            ("Upgrade", "h2c"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Authentication-Info", "a"),
            ("Proxy-Authorization", "b"),
        )
    ]
    + [
        case(
            "hop-nominated",
            "9110-7.6.1",
            "fields that Connection names are neither kept nor passed",
            step(answer(LIFE, "Connection: a, B", "A: 1", "b: 2", "C: 3"), gets={"A": None, "B": None, "C": "3"}),
            step(gets={"A": None, "B": None, "C": "3"}),
            video=True,
        ),
        case(
            "header-order",
            "9110-5.3",
            "lines of one field stay in their order",
            step(answer(LIFE, "X: 1", "Y: a", "X: 2", "x: 3"), gets={"X": "1, 2, 3"}),
            step(gets={"X": "1, 2, 3"}),
            video=True,
        ),
        case(
            "header-empty",
            "9110-5.5",
            "an empty field stays",
            step(answer(LIFE, "X:")),
            step(gets={"X": ""}),
            video=True,
        ),
        case(
            "header-obs-text",
            "9110-5.5",
            "bytes beyond ASCII stay",
            step(answer(LIFE, "X: caf\xe9")),
            step(gets={"X": "caf\xe9"}),
            video=True,
        ),
        case(
            "header-long",
            "9110-5.4",
            "a long field stays",
            step(answer(LIFE, "X: " + "a" * 6000)),
            step(gets={"X": "a" * 6000}),
            video=True,
        ),
        case(
            "header-age-replaced",
            "9111-5.1",
            "Age is our own",
            step(answer(LIFE, "Age: 5", "Age: 6")),
            step(gets={"Age": "!6,"}),
        ),
    ]
)
BODIES = [
    kept("body-empty", "9111-3", "an empty answer is kept", LIFE, body="", video=True),
    kept("body-chunked", "9111-3.3", "a chunked answer that ended is kept", LIFE, chunked=True, video=True),
    kept(
        "body-chunked-trailers",
        "9110-6.5.1",
        "trailers are dropped",
        LIFE,
        chunked=True,
        trailers="X: 1\r\n",
        video=True,
    ),
    not_kept("body-until-close", "9111-3.3", "what ends with the connection may be incomplete", LIFE, length=False),
    kept("body-large", "9111-3", "a large answer is kept", LIFE, body="0123456789" * 40_000, video=True),
    case(
        "body-cut",
        "9111-3.3",
        "what broke off is not used for a whole",
        step(answer(LIFE, cut=3), broken=True),
        AGAIN,
    ),
    case(
        "body-cut-with-tag",
        "9111-3.3",
        "a plain cache asks for the rest when somebody wants it, not before",
        step(answer(LIFE, 'ETag: "a"', cut=3), broken=True),
        step(
            answer(LIFE, 'ETag: "a"', "Content-Range: bytes 3-7/8", status=206, body=" body"),
            status=200,
            body="the body",
            sees={"Range": "bytes=3-", "If-Range": '"a"'},
        ),
        HIT,
    ),
    case(
        "path-encoded-twice",
        "9111-2",
        "an encoded percent sign is one",
        step(FRESH, at="/%2561", sees_target="{path}"),
        step(answer(LIFE, body=NEW), at="/%61", sees_target="{path}"),
        step(at="/%2561"),
        video=True,
    ),
    case(
        "path-encoded-slash",
        "9111-2",
        "an encoded slash divides nothing",
        step(FRESH, at="/a%2Fb", sees_target="{path}"),
        step(answer(LIFE, body=NEW), at="/a/b"),
        step(at="/a%2Fb"),
        video=True,
    ),
    case(
        "trailers-not-merged",
        "9110-6.5.1",
        "a trailer never becomes a header",
        step(answer(LIFE, chunked=True, trailers="X-T: 1\r\nCache-Control: no-store\r\n"), gets={"X-T": None}),
        step(gets={"X-T": None}),
    ),
    case(
        "query-other",
        "9111-2",
        "another query is another object",
        step(FRESH, at="?a=1"),
        step(answer(LIFE, body=NEW), at="?a=2"),
        step(at="?a=1"),
        video=True,
    ),
    case(
        "query-order",
        "9111-2",
        "the order of a query counts",
        step(FRESH, at="?a=1&b=2"),
        step(answer(LIFE, body=NEW), at="?b=2&a=1"),
        video=True,
    ),
    case(
        "path-case",
        "9111-2",
        "paths know case",
        step(FRESH, at="/A"),
        step(answer(LIFE, body=NEW), at="/a"),
        video=True,
    ),
    case(
        "path-encoded",
        "9111-2",
        "an encoded path is another one",
        step(FRESH, at="/%61"),
        step(answer(LIFE, body=NEW), at="/a"),
        video=True,
    ),
    case(
        "path-dots",
        "9111-2",
        "dot segments are not resolved",
        step(FRESH, at="/x/../y", sees_target="{path}"),
        step(answer(LIFE, body=NEW), at="/y"),
        video=True,
    ),
    case(
        "absolute-form",
        "9112-3.2.2",
        "the absolute form names the same object",
        step(FRESH),
        step(raw="GET http://cache.example{path} HTTP/1.1\r\nHost: other.example\r\n\r\n"),
        video=True,
    ),
    case("host-case", "9110-4.2.3", "a host knows no case", step(FRESH), step(ask=["Host: CACHE.example"]), video=True),
    case(
        "http-1.0",
        "9112-2.5",
        "an HTTP/1.0 client gets what is kept",
        step(FRESH),
        step(raw="GET {path} HTTP/1.0\r\nHost: cache.example\r\n\r\n"),
        video=True,
    ),
]
CASES = [*STATUSES, *DIRECTIVES, *AUTHORIZATION, *_METHODS, *HEADERS, *BODIES]
