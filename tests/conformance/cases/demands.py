"""RFC 9111 sections 5.2.1 and 5.4: what a request says of caching."""

from tests.conformance.build import AGAIN, CHANGED, FRESH, HIT, NEW, answer, case, step
from tests.conformance.case import Case

CC = "Cache-Control: "
LIFE = CC + "max-age=3600"
S = "9111-5.2.1"


def _asked(name: str, section: str, says: str, first: tuple[str, ...], asked: str, fresh: bool) -> Case:
    second = step(ask=[asked]) if fresh else step(CHANGED, ask=[asked])
    return case(f"req-{name}", section, says, step(answer(*first)), second)


_OLD = (LIFE, "Age: 1000")
_STALE = (CC + "max-age=10", "Age: 20")
ASKED = [
    _asked("max-age-0", S + ".1", "max-age=0 wants a new one", (LIFE, "Age: 1"), CC + "max-age=0", False),
    _asked("max-age-above", S + ".1", "max-age above the Age", _OLD, CC + "max-age=1800", True),
    _asked("max-age-below", S + ".1", "max-age below the Age", _OLD, CC + "max-age=500", False),
    _asked("max-age-junk", S + ".1", "max-age that cannot be read counts as 0", _OLD, CC + "max-age=x", False),
    _asked("max-age-case", S + ".1", "in any case", _OLD, CC + "MAX-AGE=500", False),
    _asked("min-fresh-above", S + ".3", "more freshness than is left", _OLD, CC + "min-fresh=3000", False),
    _asked("min-fresh-below", S + ".3", "less than is left", _OLD, CC + "min-fresh=2000", True),
    _asked("max-stale", S + ".2", "any stale one is welcome", _STALE, CC + "max-stale", True),
    _asked("max-stale-above", S + ".2", "stale within the limit", _STALE, CC + "max-stale=100", True),
    _asked("max-stale-below", S + ".2", "stale beyond the limit", _STALE, CC + "max-stale=5", False),
    _asked("max-stale-junk", S + ".2", "a limit that cannot be read is 0", _STALE, CC + "max-stale=x", False),
    _asked("max-stale-max-age", S, "max-age still counts beside it", _STALE, CC + "max-stale=100, max-age=5", False),
    _asked("no-cache", S + ".4", "no-cache wants a new one", (LIFE,), CC + "no-cache", False),
    _asked("no-cache-case", S + ".4", "in any case", (LIFE,), CC + "NO-cache", False),
    _asked("no-cache-second-line", S + ".4", "in any line", (LIFE,), CC + "foo\r\n" + CC + "no-cache", False),
    _asked(
        "no-transform", S + ".6", "no-transform forbids nothing that is done here", (LIFE,), CC + "no-transform", True
    ),
    _asked("immutable", "8246-2", "immutable means nothing in a request", _OLD, CC + "immutable, max-age=500", False),
    _asked("immutable-alone", "8246-2", "nor alone", _OLD, CC + "immutable", True),
    _asked("unknown", S, "what nobody knows means nothing", (LIFE,), CC + "foo=bar", True),
    _asked("pragma", "9111-5.4", "Pragma: no-cache alone counts", (LIFE,), "Pragma: no-cache", False),
    _asked("pragma-other", "9111-5.4", "another Pragma does not", (LIFE,), "Pragma: foo", True),
    _asked(
        "pragma-beside",
        "9111-5.4",
        "nor beside Cache-Control",
        (LIFE,),
        "Pragma: no-cache\r\n" + CC + "max-age=3600",
        True,
    ),
    _asked(
        "stale-if-error",
        "5861-4",
        "stale-if-error of a request means nothing while it is fresh",
        (LIFE,),
        CC + "stale-if-error=5",
        True,
    ),
]
FORBIDDEN = [
    case(
        f"req-max-stale-{name}",
        "9111-4.2.4",
        f"a client cannot get stale what is {name}",
        step(answer(CC + f"max-age=10, {directive}", "Age: 20")),
        step(CHANGED, ask=[CC + "max-stale=100"]),
    )
    for name, directive in (
        ("must-revalidate", "must-revalidate"),
        ("proxy-revalidate", "proxy-revalidate"),
        ("s-maxage", "s-maxage=10"),
        ("no-cache", "no-cache"),
    )
]
OTHERS = [
    case(
        "req-no-store",
        S + ".5",
        "the answer to a request with no-store is not kept",
        step(FRESH, ask=[CC + "no-store"]),
        AGAIN,
    ),
    case("req-no-store-hit", S + ".5", "what is kept may be given to it", step(FRESH), step(ask=[CC + "no-store"])),
    case(
        "req-only-if-cached",
        S + ".7",
        "504 when it is not there",
        step(ask=[CC + "only-if-cached"], status=504, body=None),
        step(FRESH),
        step(ask=[CC + "only-if-cached"]),
    ),
    case(
        "req-only-if-cached-stale",
        S + ".7",
        "nor is a stale one",
        step(answer(CC + "max-age=0", 'ETag: "a"')),
        step(ask=[CC + "only-if-cached"], status=504, body=None),
    ),
    case(
        "req-only-if-cached-max-stale",
        S + ".7",
        "unless it is welcome",
        step(answer(*_STALE)),
        step(ask=[CC + "only-if-cached, max-stale"]),
    ),
    case(
        "req-no-cache-validates",
        S + ".4",
        "no-cache validates what is kept",
        step(answer(LIFE, 'ETag: "a"')),
        step(
            answer(LIFE, 'ETag: "a"', status=304),
            ask=[CC + "no-cache"],
            status=200,
            body="the body",
            sees={"If-None-Match": '"a"'},
        ),
        HIT,
    ),
    case(
        "req-no-cache-renews",
        S + ".4",
        "what came is given to the next",
        step(FRESH),
        step(CHANGED, ask=[CC + "no-cache"]),
        step(body=NEW),
    ),
    case(
        "req-cc-forwarded",
        "9111-5.2",
        "directives are passed on",
        step(FRESH, ask=[CC + "max-age=5, foo=bar"], sees={"Cache-Control": "max-age=5, foo=bar"}),
    ),
    case(
        "req-if-error-max-age",
        S + ".1",
        "an answer of the second that it came in",
        step(FRESH),
        step(ask=[CC + "max-age=100"]),
    ),
]
CASES = [*ASKED, *FORBIDDEN, *OTHERS]
