"""RFC 9111 section 4.4: what unsafe requests make invalid; requests with bodies."""

from tests.conformance.build import AGAIN, FRESH, HIT, NEW, answer, case, step

LIFE = "Cache-Control: max-age=3600"
S = "9111-4.4"
UNSAFE = ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "PROPPATCH", "MKCOL", "LOCK")
CASES = [
    *(case(f"unsafe-{method.lower()}", S, f"{method} makes the target invalid", step(FRESH), HIT, step(answer(body="done"), method=method), AGAIN, step(body=NEW)) for method in UNSAFE),
    *(case(f"unsafe-{status}", S, f"so does an answer {status}", step(FRESH), step(answer(status=status, body="done"), method="POST"), AGAIN) for status in (201, 202, 204, 302, 303)),
    *(case(f"unsafe-failed-{status}", S, f"a {status} does not", step(FRESH), step(answer(status=status, body="no"), method="POST"), HIT) for status in (400, 403, 404, 405, 409, 500, 503)),
    *(case(f"safe-{method.lower()}", "9110-9.2.1", f"{method} does not", step(FRESH), step(answer(body="x"), method=method), HIT) for method in ("OPTIONS",)),
    *(
        case(f"unsafe-{name.lower()}-{kind}", S, f"{name} of the same origin is made invalid", step(FRESH, at="/other"), step(answer(f"{name}: {value}", body="done"), at="/t", method="POST"), step(answer(LIFE, body=NEW), at="/other"))
        for name in ("Location", "Content-Location")
        for kind, value in (("absolute", "http://cache.example/c/unsafe-{0}-absolute/other"), ("path", "/c/unsafe-{0}-path/other"), ("relative", "other"), ("dots", "./x/../other"), ("fragment", "other#part"), ("network", "//cache.example/c/unsafe-{0}-network/other"))
        for value in [value.format(name.lower())]
    ),
    *(
        case(f"unsafe-{name.lower()}-{kind}", S, f"{name} of another origin is not", step(FRESH, at="/other"), step(answer(f"{name}: {value}", body="done"), at="/t", method="POST"), step(at="/other"))
        for name in ("Location", "Content-Location")
        for kind, value in (("foreign", "http://other.example/c/unsafe-{0}-foreign/other"), ("foreign-port", "http://cache.example:81/c/unsafe-{0}-foreign-port/other"), ("junk", "http://[/other"))
        for value in [value.format(name.lower())]
    ),
    case("unsafe-failed-location", S, "after an error nothing is", step(FRESH, at="/other"), step(answer("Location: other", status=500, body="no"), at="/t", method="POST"), step(at="/other")),
    case("unsafe-variants", S, "all variants go", step(answer(LIFE, "Vary: Foo"), ask=["Foo: 1"]), step(answer(LIFE, "Vary: Foo", body="b"), ask=["Foo: 2"]), step(answer(body="done"), method="PUT"), step(answer(LIFE, "Vary: Foo", body="c"), ask=["Foo: 1"]), step(answer(LIFE, "Vary: Foo", body="d"), ask=["Foo: 2"])),
    case("unsafe-other-query", S, "another query is another object", step(FRESH, at="?a"), step(answer(body="done"), at="?b", method="POST"), step(at="?a")),
    case("unsafe-not-kept", "9111-3", "its own answer is not kept", step(answer(LIFE, body="done"), method="POST"), step(answer(LIFE, body="done"), method="POST"), AGAIN),
    case("body-length", "9110-8.6", "a body reaches the origin", step(answer(body="done"), method="POST", sent="hello", sees={"Content-Length": "5"}, sees_body="hello")),
    case("body-sent-chunked", "9112-7.1", "a chunked body too", step(answer(body="done"), method="PUT", sent="hello", chunked=True, sees_body="hello")),
    case("body-sent-large", "9110-8.6", "however large", step(answer(body="done"), method="PUT", sent="0123456789" * 150_000, sees_body="0123456789" * 150_000)),
    case("body-none", "9110-8.6", "no body, none is made", step(answer(body="done"), method="POST", sees={"Transfer-Encoding": None}, sees_body="")),
    case("body-then-next", "9112-9.3.2", "the next request begins where a body ends", step(answer(body="done"), method="POST", sent="GET /evil HTTP/1.1\r\n\r\n"), step(FRESH)),
    case("body-fields", "9110-8", "fields of a body reach the origin", step(answer(body="done"), method="POST", ask=["Content-Type: text/x", "Content-Encoding: gzip"], sent="x", sees={"Content-Type": "text/x", "Content-Encoding": "gzip"})),
    case("body-expect", "9110-10.1.1", "who waits for 100 gets it", step(answer(body="done"), raw="POST {path} HTTP/1.1\r\nHost: cache.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", method="POST", sees={"Expect": None}, sees_body="hello")),
    case("body-two-framings", "9112-6.1", "two framings are refused", step(raw="POST {path} HTTP/1.1\r\nHost: cache.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status=400, body=None)),
    case("body-two-lengths", "9112-6.3", "two lengths are refused", step(raw="POST {path} HTTP/1.1\r\nHost: cache.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", status=400, body=None)),
    case("body-bad-chunk", "9112-7.1", "a chunk that is none is refused", step(raw="POST {path} HTTP/1.1\r\nHost: cache.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", status=400, body=None)),
    case("answer-passed", "9110-9.3.3", "its answer comes back as it is", step(answer("X: 1", "Location: /x", status=201, body="made"), method="POST", gets={"X": "1", "Location": "/x", "Cache-Status": "~fwd=method"})),
    *(case(f"unsafe-extension-{name.lower()}", "9110-9.1", f"{name}, which nobody knows, is passed on as it is and taken for unsafe", step(FRESH), step(answer(body="done"), method=name, sent=sent, sees_body=sent), AGAIN) for name, sent in (("FROB", ""), ("X-MOVE", "hello"), ("GETX", ""), ("HEADER", ""))),
    case("unsafe-extension-failed", S, "and its failure for one", step(FRESH), step(answer(status=501, body="no"), method="FROB"), HIT),
    case("unsafe-extension-chunked", "9112-7.1", "its body may be in chunks", step(answer(body="done"), method="FROB", sent="hello", chunked=True, sees_body="hello"), step(FRESH)),
    case("post-for-get", "9110-9.3.3", "an answer to POST that is one to GET, and says for how long, is kept for GET", step(answer(LIFE, "Content-Location: post-for-get", body="done"), method="POST", sent="x", gets={"Cache-Status": "~fwd=method; fwd-status=200; stored"}), step(body="done"), step(method="HEAD", gets={"Content-Length": "4"})),
    case("post-for-get-absolute", "9110-9.3.3", "however its name is written", step(answer(LIFE, "Content-Location: http://cache.example/c/post-for-get-absolute", body="a" * 300_000), method="POST"), step(body="a" * 300_000)),
    case("post-for-get-replaces", "9110-9.3.3", "it takes the place of what was stored", step(FRESH), step(answer(LIFE, "Content-Location: post-for-get-replaces", body="done"), method="POST"), step(body="done")),
    case("post-for-get-vary", "9111-4.1", "for those whom it suits", step(answer(LIFE, "Vary: Foo", "Content-Location: post-for-get-vary", body="done"), method="POST", ask=["Foo: 1"]), step(ask=["Foo: 1"], body="done"), step(answer(LIFE, body=NEW), ask=["Foo: 2"])),
    case("post-for-get-again", "9111-4", "not for another POST", step(answer(LIFE, "Content-Location: post-for-get-again", body="done"), method="POST"), step(answer(body="again"), method="POST"), AGAIN),
    *(case(f"post-not-for-get-{name}", "9110-9.3.3", says, step(answer(*lines, f"Content-Location: post-not-for-get-{name}", body="done", status=status), method=method, ask=ask), AGAIN) for name, says, method, lines, ask, status in (
        ("no-life", "without a life it is not", "POST", ("Last-Modified: <now-100000>",), (), 200),
        ("no-store", "against no-store neither", "POST", ("Cache-Control: no-store, max-age=3600",), (), 200),
        ("private", "nor if it is one client's", "POST", ("Cache-Control: private, max-age=3600",), (), 200),
        ("credentials", "nor if it was for credentials", "POST", (LIFE,), ("Authorization: x",), 200),
        ("put", "nor one to PUT", "PUT", (LIFE,), (), 200),
        ("201", "nor what says that something was made", "POST", (LIFE,), (), 201),
    )),
    case("post-not-for-get-elsewhere", "9110-9.3.3", "what is about another target is for nobody", step(answer(LIFE, "Content-Location: other", body="done"), method="POST"), AGAIN),
    case("post-not-for-get-query", "9110-9.3.3", "nor about the same path without the query", step(answer(LIFE, "Content-Location: /c/post-not-for-get-query", body="done"), at="?x", method="POST"), AGAIN, step(answer(LIFE, body=NEW), at="?x")),
    case("conditions-passed", "9110-13.1.1", "conditions on it are the origin's to judge", step(answer(status=412, body="no"), method="PUT", ask=['If-Match: "a"'], sees={"If-Match": '"a"'})),
    case("trace-refused", "9110-9.3.8", "TRACE is refused", step(method="TRACE", status=405, body=None)),
    case("options-passed", "9110-9.3.7", "OPTIONS goes to the origin", step(answer("Allow: GET", status=200, body="x"), method="OPTIONS", gets={"Allow": "GET"})),
    case("max-forwards-0", "9110-7.6.2", "unless it may go no further", step(method="OPTIONS", ask=["Max-Forwards: 0"], status=204, body=None)),
    case("method-lower-case", "9110-9.1", "methods know case: get is no GET", step(FRESH), step(raw="get {path} HTTP/1.1\r\nHost: cache.example\r\n\r\n", status=400, body=None)),
]  # fmt: skip
