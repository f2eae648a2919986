"""Attempts at making a bad answer stick for others, as data; each is followed by a clean request.

The origin is as gullible as can be: whatever of a request has `evil` in it makes its answer evil, whatever is too long
or odd makes it an error, and everything it says may be kept for an hour. Of CDN-Loop, which has to go on (RFC 8586
section 2.1), it refuses what it takes for a loop, a while later: what others ask for meanwhile must not be refused.
"""

from dataclasses import dataclass

from tests.conformance.build import fields
from tests.conformance.case import Fields


@dataclass(frozen=True, slots=True)
class Attempt:
    """`raw`: the whole request as it is sent, `{path}` standing for the path that the clean request asks."""

    id: str
    method: str = "GET"
    at: str = ""
    fields: Fields = ()
    raw: str = ""


_UNKEYED = [
    "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: evil", "X-Forwarded-Scheme: evil", "X-Forwarded-Port: 666evil",
    "X-Forwarded-For: evil", "X-Forwarded-Server: evil", "X-Forwarded-Prefix: /evil", "X-Host: evil.example",
    "Forwarded: host=evil.example", "X-Original-URL: /evil", "X-Rewrite-URL: /evil", "X-Original-Host: evil",
    "X-HTTP-Method-Override: evil", "X-HTTP-Method: evil", "X-Method-Override: evil", "X-Real-IP: evil",
    "True-Client-IP: evil", "Client-IP: evil", "X-Client-IP: evil", "X-WAP-Profile: http://evil/", "Origin: http://evil",
    "Referer: http://evil/", "User-Agent: evil", "Cookie: a=evil", "Authorization: Basic evil", "Accept: evil/evil",
    "Accept-Language: evil", "Accept-Encoding: evil", "Accept-Charset: evil", "From: evil@evil", "Via: 1.1 evilproxy",
    "Pragma: evil", "X-Api-Version: evil", "Content-Type: evil", "TE: evil", "Upgrade: evil", "Prefer: evil",
    "X-Requested-With: evil", "X-Middleware-Subrequest: evil", "Surrogate-Capability: evil", "X-Timer: evil",
    "Base-Url: http://evil", "Destination: http://evil", "Proxy: http://evil", "X-Debug: evil", "Accept-Datetime: evil",
]  # fmt: skip
UNKEYED = [Attempt(f"field-{line.partition(':')[0].lower()}", fields=fields(line)) for line in _UNKEYED]
_PARAMETERS = [
    "utm_source=evil",
    "utm_content=evil",
    "UTM_x=evil",
    "CMCD=evil",
    "cmcd=evil",
    "token=evil",
    "expires=evil",
    "md5=evil",
    "hdnts=evil",
    "hdnea=evil",
]
PARAMETERS = [
    Attempt(f"parameter-{text.partition('=')[0]}-{number}", at="?" + text) for number, text in enumerate(_PARAMETERS)
]
_PATHS = [
    "/x/../evil", "/%2e%2e/evil", "/..%2fevil", "/.%2e/evil", "//evil", "/;evil", ";evil", "/%00evil", "/evil%0d%0aX:1",
    "%2fevil", "%3fevil", "?evil", "?a=1&evil", "?evil#x", "/\\evil", "/%5cevil", "/evil.css", "/%252e%252e/evil",
    "?_method=evil", "?callback=evil",
]  # fmt: skip
PATHS = [Attempt(f"path-{number}", at=text) for number, text in enumerate(_PATHS)]
METHODS = [
    Attempt(f"method-{name.lower()}", method=name)
    for name in (
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "PURGE",
        "OPTIONS",
        "HEAD",
        "LINK",
        "LOCK",
        "FROB",
        "X-COPY",
    )
]
_CONDITIONS = [
    "If-None-Match: *", 'If-None-Match: "x"', "If-Modified-Since: <now+1000>", 'If-Match: "evil"', "If-Match: *",
    "If-Unmodified-Since: <now-99999999>", "Range: bytes=99999999-", "Range: bytes=0-0", "Range: bytes=-0",
    "Range: bytes=5-1", "Range: evil=0-1", "Range: bytes=0-0,1-1,2-2,3-3", "Range: bytes=0-,0-,0-,0-,0-,0-", "Expect: 100-continue",
    "Cache-Control: no-store", "Cache-Control: no-cache", "Cache-Control: only-if-cached", "Max-Forwards: 0", "Content-Length: 0",
    "Connection: host", "Connection: cache-control, close", "Range: bytes=0-0\r\nIf-Range: evil", "Pragma: no-cache",
]  # fmt: skip
CONDITIONS = [
    Attempt(f"condition-{number}", fields=fields(*line.split("\r\n"))) for number, line in enumerate(_CONDITIONS)
]
_HOST = "Host: cache.example\r\n"
_RAW = [
    "GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "GET http://evil.example{path} HTTP/1.1\r\nHost: cache.example\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: cache.example:666\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: cache.example@evil.example\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: cache.example\r\nHost: evil.example\r\n\r\n",
    "GET {path} HTTP/1.1\r\n\r\n",
    "GET {path} HTTP/1.0\r\n\r\n",
    f"get {{path}} HTTP/1.1\r\n{_HOST}\r\n",
    f"GET  {{path}} HTTP/1.1\r\n{_HOST}\r\n",
    f"GET {{path}} HTTP/1.1 evil\r\n{_HOST}\r\n",
    f"GET {{path}} HTTP/2.0\r\n{_HOST}\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X : evil\r\n\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X: a\r\n evil\r\n\r\n",
    f"GET {{path}} HTTP/1.1\n{_HOST}\n\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X: a\revil\r\n\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X: a\0evil\r\n\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}Content-Length: 5\r\n\r\nevil!",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X: {'e' * 9000}\r\n\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}" + "".join(f"X-{n}: evil\r\n" for n in range(120)) + "\r\n",
    f"GET {{path}} HTTP/1.1\r\n{_HOST}X: {'e' * 7000}\r\nY: {'e' * 7000}\r\nZ: {'e' * 7000}\r\n\r\n",
    f"GET {{path}}?{'e' * 9000} HTTP/1.1\r\n{_HOST}\r\n",
    f"FROB {{path}} HTTP/1.1\r\n{_HOST}Content-Length: 4\r\n\r\nevil",
    f"GETX {{path}} HTTP/1.1\r\n{_HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil",
    "GET {path}#evil HTTP/1.1\r\nHost: cache.example\r\n\r\n",
]  # fmt: skip
RAW = [Attempt(f"raw-{number}", raw=text) for number, text in enumerate(_RAW)]
_LOOPS = ["evil", "a, b, c, d, e, f, g, h", "a, evil; a=1", '"evil, a"', "evil" * 500, "a; evil", "evil\r\nCDN-Loop: b"]
LOOPS = [
    Attempt(f"loop-{number}", fields=fields(*f"CDN-Loop: {text}".split("\r\n"))) for number, text in enumerate(_LOOPS)
]
ATTEMPTS = [*UNKEYED, *PARAMETERS, *PATHS, *METHODS, *CONDITIONS, *RAW, *LOOPS]
