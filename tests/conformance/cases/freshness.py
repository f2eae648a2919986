"""RFC 9111 sections 4.2 and 5: how long an answer is fresh, and what is left of it."""

from tests.conformance.build import AGAIN, HIT, NEW, answer, case, kept, not_kept, step

CC = "Cache-Control: "
YEAR = 31536000
_EXPLICIT = [
    ("max-age", "max-age=3600", True),
    ("max-age-0", "max-age=0", False),
    ("s-maxage", "s-maxage=3600", True),
    ("s-maxage-over-max-age", "max-age=1, s-maxage=3600", True),
    ("s-maxage-0-over-max-age", "max-age=3600, s-maxage=0", False),
    ("s-maxage-after", "s-maxage=3600, max-age=0", True),
    ("max-age-max", "max-age=2147483647", True),
    ("max-age-overflow", "max-age=2147483648", True),
    ("max-age-overflow-64", "max-age=18446744073709551616", True),
    ("max-age-overflow-long", "max-age=" + "9" * 400, True),
    ("max-age-leading-zeros", "max-age=00003600", True),
    ("max-age-quoted", 'max-age="3600"', True),
    ("max-age-quoted-single", "max-age='3600'", False),
    ("max-age-case", "MaX-aGe=3600", True),
    ("max-age-spaces-around", " , max-age=3600 , ", True),
    ("max-age-space-before-equals", "max-age =3600", True),
    ("max-age-negative", "max-age=-3600", False),
    ("max-age-fraction", "max-age=3600.5", False),
    ("max-age-plus", "max-age=+3600", False),
    ("max-age-hex", "max-age=0x3600", False),
    ("max-age-exponent", "max-age=36e2", False),
    ("max-age-empty", "max-age=", False),
    ("max-age-bare", "max-age", False),
    ("max-age-junk-behind", "max-age=3600x", False),
    ("max-age-junk-before", "max-age=x3600", False),
    ("max-age-two-words", "max-age=3600 60", False),
    ("max-age-in-quoted-of-another", 'ext="max-age=3600"', False),
    ("max-age-after-extension", "ext, max-age=3600", True),
    ("max-age-after-quoted-comma", 'ext="a,b", max-age=3600', True),
    ("max-age-after-open-quote", 'ext="a, max-age=3600', True),
    ("max-age-after-escaped-quote", 'ext="\\", no-store", max-age=3600', True),
    ("max-age-prefixed", "x-max-age=3600", False),
    ("max-age-suffixed", "max-age-x=3600", False),
    ("max-age-twice-first-large", "max-age=3600, max-age=1", True),
    ("max-age-twice-first-0", "max-age=0, max-age=3600", False),
    ("empty-members", ",,, ,max-age=3600,,", True),
    ("unknown-directives", 'foo, bar=1, baz="x", max-age=3600', True),
    ("max-age-tab", "\tmax-age=3600\t", True),
]
EXPLICIT = [
    (kept if fresh else not_kept)(
        f"cc-{name}", "9111-5.2", f"Cache-Control: {value[:60]} is {'fresh' if fresh else 'not fresh'}", CC + value
    )
    for name, value, fresh in _EXPLICIT
]
_EXPIRES = [
    ("future", ("Expires: <now+3600>",), True),
    ("past", ("Expires: <now-3600>",), False),
    ("now", ("Expires: <now>",), False),
    ("0", ("Expires: 0",), False),
    ("minus-1", ("Expires: -1",), False),
    ("junk", ("Expires: tomorrow",), False),
    ("empty", ("Expires:",), False),
    ("with-max-age", ("Expires: <now-3600>", CC + "max-age=3600"), True),
    ("with-max-age-0", ("Expires: <now+3600>", CC + "max-age=0"), False),
    ("with-s-maxage", ("Expires: <now-3600>", CC + "s-maxage=3600"), True),
    ("with-other-directive", ("Expires: <now+3600>", CC + "public"), True),
    ("date-early", ("Date: <now-1800>", "Expires: <now+3600>"), True),
    ("date-later-than-expires", ("Date: <now+3600>", "Expires: <now+1800>"), False),
    ("date-junk", ("Date: junk", "Expires: <now+3600>"), True),
    ("two-lines", ("Expires: <now+3600>", "Expires: <now+7200>"), False),
    ("rfc850-past", ("Expires: Sunday, 06-Nov-94 08:49:37 GMT",), False),
    ("rfc850", ("Expires: Saturday, 18-Aug-50 02:01:18 GMT",), True),
    ("asctime", ("Expires: Thu Aug 18 02:01:18 2050",), True),
    ("asctime-past", ("Expires: Sun Nov  6 08:49:37 1994",), False),
    ("imf", ("Expires: Thu, 18 Aug 2050 02:01:18 GMT",), True),
    ("weekday-wrong", ("Expires: Mon, 18 Aug 2050 02:01:18 GMT",), True),
    ("case-month", ("Expires: Thu, 18 AUG 2050 02:01:18 GMT",), True),
    ("case-weekday", ("Expires: THU, 18 Aug 2050 02:01:18 GMT",), True),
    ("case-zone", ("Expires: Thu, 18 Aug 2050 02:01:18 gMT",), True),
    ("zone-utc", ("Expires: Thu, 18 Aug 2050 02:01:18 UTC",), False),
    ("zone-aest", ("Expires: Thu, 18 Aug 2050 02:01:18 AEST",), False),
    ("zone-offset", ("Expires: Thu, 18 Aug 2050 02:01:18 +0000",), False),
    ("zone-missing", ("Expires: Thu, 18 Aug 2050 02:01:18",), False),
    ("year-two-digits", ("Expires: Thu, 18 Aug 50 02:01:18 GMT",), False),
    ("no-comma", ("Expires: Thu 18 Aug 2050 02:01:18 GMT",), False),
    ("blanks-twice", ("Expires: Thu, 18  Aug 2050 02:01:18 GMT",), False),
    ("dashes", ("Expires: Thu, 18-Aug-2050 02:01:18 GMT",), False),
    ("dots-in-time", ("Expires: Thu, 18 Aug 2050 02.01.18 GMT",), False),
    ("hour-one-digit", ("Expires: Thu, 18 Aug 2050 2:01:18 GMT",), False),
    ("unix", ("Expires: 2544408078",), False),
    ("iso", ("Expires: 2050-08-18T02:01:18Z",), False),
    ("day-31-of-june", ("Expires: Thu, 31 Jun 2050 02:01:18 GMT",), False),
]
EXPIRES = [
    (kept if fresh else not_kept)(
        f"expires-{name}", "9111-5.3", f"an Expires like {name} is {'fresh' if fresh else 'stale'}", *lines
    )
    for name, lines, fresh in _EXPIRES
]
_AGE = [
    ("below", ("Age: 1800",), True),
    ("above", ("Age: 7200",), False),
    ("equal", ("Age: 3600",), False),
    ("negative", ("Age: -7200",), True),
    ("fraction", ("Age: 7200.0",), True),
    ("junk", ("Age: abc",), True),
    ("junk-behind", ("Age: 7200a",), True),
    ("empty", ("Age:",), True),
    ("list-first-above", ("Age: 7200, 0",), False),
    ("list-first-below", ("Age: 0, 7200",), True),
    ("lines-first-above", ("Age: 7200", "Age: 0"), False),
    ("lines-first-below", ("Age: 0", "Age: 7200"), True),
    ("parameter", ("Age: 7200;a=b",), True),
    ("overflow", ("Age: 2147483649",), False),
    ("overflow-64", ("Age: 18446744073709551617",), False),
    ("zeros", ("Age: 0007200",), False),
    ("quoted", ('Age: "7200"',), True),
]
AGE = [
    (kept if fresh else not_kept)(
        f"age-{name}",
        "9111-5.1",
        f"an Age like {name} leaves it {'fresh' if fresh else 'stale'}",
        CC + "max-age=3600",
        *lines,
    )
    for name, lines, fresh in _AGE
] + [
    not_kept("age-apparent", "9111-4.2.3", "a Date long ago makes it old", CC + "max-age=3600", "Date: <now-7200>"),
    kept(
        "age-date-ahead",
        "9111-4.2.3",
        "a Date ahead does not make it younger than new",
        CC + "max-age=3600",
        "Date: <now+7200>",
    ),
    case(
        "age-told",
        "9111-5.1",
        "an answer from the cache tells its Age",
        step(answer(CC + "max-age=3600", "Age: 100")),
        step(gets={"Age": ">=100"}),
        video=True,
    ),
    case(
        "age-grows",
        "9111-4.2.3",
        "the Age grows while the answer is kept",
        step(answer(CC + "max-age=3600")),
        step(wait=2.1, gets={"Age": ">=2"}),
        video=True,
    ),
    case(
        "age-of-a-new-answer",
        "9111-5.1",
        "what the origin gave just now has no Age",
        step(answer(CC + "max-age=3600"), gets={"Age": None}),
    ),
    case(
        "date-added",
        "9110-6.6.1",
        "an answer without Date gets one",
        step(answer(CC + "max-age=3600", date=None), gets={"Date": "~GMT"}),
        step(gets={"Date": "~GMT"}),
        video=True,
    ),
    case(
        "date-kept",
        "9111-4.2.3",
        "the Date of the origin stays",
        step(answer(CC + "max-age=3600", "Date: <now-5>")),
        step(gets={"Date": "<now-5>"}),
        video=True,
    ),
    case(
        "fresh-then-stale",
        "9111-4.2",
        "after its life an answer is asked for again",
        step(answer(CC + "max-age=4")),
        HIT,
        step(answer(CC + "max-age=3600", body=NEW), wait=5.1),
        video=True,
    ),
]
DELAYED = [
    case(
        "age-delayed",
        "9111-4.2.3",
        "an Age counts from the request on, however late the answer is",
        step(answer(CC + "max-age=100", "Age: 98", delay=2.2)),
        AGAIN,
    ),
    case(
        "age-delayed-fresh",
        "9111-4.2.3",
        "an answer that is late is that much older, and no more",
        step(answer(CC + "max-age=100", "Age: 50", delay=2.2)),
        step(gets={"Age": ">=52"}),
    ),
]
_GUESSED = (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
_NOT_GUESSED = (201, 202, 302, 303, 307, 400, 401, 403, 406, 409, 415, 418, 422, 429, 451, 500, 502, 503, 504, 599)
HEURISTIC = (
    [
        kept(
            f"heuristic-{status}",
            "9111-4.2.2",
            f"{status} with Last-Modified is fresh for a share of its age",
            "Last-Modified: <now-864000>",
            status=status,
        )
        for status in _GUESSED
    ]
    + [
        not_kept(
            f"heuristic-not-{status}",
            "9111-4.2.2",
            f"{status} is not fresh by a guess",
            "Last-Modified: <now-864000>",
            status=status,
        )
        for status in _NOT_GUESSED
    ]
    + [
        kept(
            f"heuristic-public-{status}",
            "9111-4.2.2",
            f"{status} that is public may be fresh by a guess",
            "Last-Modified: <now-864000>",
            CC + "public",
            status=status,
        )
        for status in (201, 403, 599)
    ]
    + [
        not_kept("heuristic-without", "9111-4.2.2", "without a Last-Modified there is nothing to guess from"),
        case(
            "heuristic-etag-alone",
            "9111-4.2.2",
            "an entity tag is no ground for a guess",
            step(answer('ETag: "a"')),
            step(answer('ETag: "a"', status=304), status=200, body="the body", sees={"If-None-Match": '"a"'}),
        ),
        case(
            "heuristic-just-changed",
            "9111-4.2.2",
            "what changed just now is fresh for no time",
            step(answer("Last-Modified: <now>")),
            AGAIN,
        ),
        case(
            "heuristic-not-over-explicit",
            "9111-4.2.2",
            "no guess where there is an explicit life",
            step(answer("Last-Modified: <now-864000>", CC + "max-age=0")),
            AGAIN,
        ),
    ]
)
CASES = [*EXPLICIT, *EXPIRES, *AGE, *DELAYED, *HEURISTIC]
