"""RFC 5861 and RFC 9111 section 4.2.4: answers that are stale."""

from tests.conformance.build import NEW, answer, case, step
from tests.conformance.case import Answer, Case

LIFE = "Cache-Control: max-age=3600"
OWN = "the body"
GONE = Answer(hang_up=True)
RENEWED = answer(LIFE, body=NEW)


def _behind(name: str, says: str, cc: str, *lines: str, video: bool = False) -> Case:
    return case(
        f"swr-{name}", "5861-3", says,
        step(answer(f"Cache-Control: {cc}", *lines)),
        step(behind=RENEWED, body=OWN, gets={"Cache-Status": "~hit; ttl=-", "Age": ">=1"}),
        step(body=NEW, soon=True),
        video=video,
    )  # fmt: skip


def _not_behind(name: str, says: str, cc: str, *lines: str, section: str = "5861-3") -> Case:
    return case(f"swr-not-{name}", section, says, step(answer(f"Cache-Control: {cc}", *lines)), step(RENEWED))


def _on_error(name: str, says: str, cc: str, origin: Answer, section: str = "5861-4") -> Case:
    return case(
        f"sie-{name}",
        section,
        says,
        step(answer(f"Cache-Control: {cc}", "Age: 20")),
        step(origin, status=200, body=OWN),
    )


def _error(name: str, says: str, cc: str, origin: Answer, status: int, section: str = "5861-4") -> Case:
    body = None if origin.hang_up else origin.body
    return case(
        f"sie-not-{name}",
        section,
        says,
        step(answer(f"Cache-Control: {cc}", "Age: 20")),
        step(origin, status=status, body=body),
    )


BEHIND = [
    _behind("plain", "served stale, renewed behind", "max-age=10, stale-while-revalidate=60", "Age: 20", video=True),
    _behind("max-age-0", "also without any life", "max-age=0, stale-while-revalidate=60", "Age: 1"),
    _behind("quoted", "the number in quotes", 'max-age=10, stale-while-revalidate="60"', "Age: 20"),
    _behind("case", "in any case", "max-age=10, Stale-While-Revalidate=60", "Age: 20"),
    _not_behind("over", "not when that time is over", "max-age=10, stale-while-revalidate=5", "Age: 20"),
    _not_behind("junk", "not for a number that cannot be read", "max-age=10, stale-while-revalidate=x", "Age: 20"),
    _not_behind("must-revalidate", "not against must-revalidate", "max-age=10, stale-while-revalidate=60, must-revalidate", "Age: 20", section="9111-5.2.2.2"),
    _not_behind("proxy-revalidate", "not against proxy-revalidate", "max-age=10, stale-while-revalidate=60, proxy-revalidate", "Age: 20", section="9111-5.2.2.8"),
    _not_behind("s-maxage", "not against s-maxage", "s-maxage=10, stale-while-revalidate=60", "Age: 20", section="9111-5.2.2.10"),
    _not_behind("no-cache", "not against no-cache", "no-cache, max-age=10, stale-while-revalidate=60", "Age: 20", section="9111-5.2.2.4"),
    _not_behind("without", "not without leave", "max-age=10", "Age: 20", section="9111-4.2.4"),
    case("swr-304", "5861-3", "the renewal validates", step(answer("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 20", 'ETag: "a"')), step(behind=answer(LIFE, 'ETag: "a"', status=304), body=OWN, sees={"If-None-Match": '"a"'}), step(soon=True)),
    case("swr-failed", "5861-3", "a renewal that fails leaves what is there", step(answer("Cache-Control: max-age=10, stale-while-revalidate=600", "Age: 20")), step(behind=answer(status=500), body=OWN), step(behind=RENEWED, body=OWN, wait=2.5)),
    case("swr-vary", "5861-3", "of the variant that was served", step(answer("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 20", "Vary: Foo"), ask=["Foo: 1"]), step(behind=answer(LIFE, "Vary: Foo", body=NEW), ask=["Foo: 1"], body=OWN, sees={"Foo": "1"}), step(ask=["Foo: 1"], body=NEW, soon=True)),
]  # fmt: skip
ON_ERROR = [
    *(_on_error(str(status), f"stale in place of a {status}", "max-age=10, stale-if-error=60", answer(status=status, body=NEW)) for status in (500, 502, 503, 504)),
    _on_error("closed", "stale in place of a closed connection", "max-age=10, stale-if-error=60", GONE),
    _on_error("cut-head", "stale in place of half a head", "max-age=10, stale-if-error=60", Answer(raw="HTTP/1.1 200 OK\r\nContent-", length=False, body="", cut=0)),
    *(_error(str(status), f"a {status} is passed on", "max-age=10, stale-if-error=60", answer(status=status, body=NEW), status) for status in (400, 403, 404, 410, 501, 505)),
    _error("over", "not when that time is over", "max-age=10, stale-if-error=5", answer(status=503, body=NEW), 503),
    _error("without", "an error is passed on without leave", "max-age=10", answer(status=503, body=NEW), 503, "9111-4.2.4"),
    _error("must-revalidate", "not against must-revalidate", "max-age=10, stale-if-error=60, must-revalidate", answer(status=503, body=NEW), 503, "9111-5.2.2.2"),
    _error("proxy-revalidate", "not against proxy-revalidate", "max-age=10, stale-if-error=60, proxy-revalidate", answer(status=503, body=NEW), 503, "9111-5.2.2.8"),
    _error("s-maxage", "not against s-maxage", "s-maxage=10, stale-if-error=60", answer(status=503, body=NEW), 503, "9111-5.2.2.10"),
    _on_error("disconnected", "stale when nobody answers", "max-age=10", GONE, "9111-4.2.4"),
    _error("disconnected-must-revalidate", "unless the origin forbids it", "max-age=10, must-revalidate", GONE, 504, "9111-5.2.2.2"),
    _error("disconnected-proxy-revalidate", "unless the origin forbids it", "max-age=10, proxy-revalidate", GONE, 504, "9111-5.2.2.8"),
    _error("disconnected-s-maxage", "unless the origin forbids it", "s-maxage=10", GONE, 504, "9111-5.2.2.10"),
    _error("disconnected-no-cache", "unless the origin forbids it", "no-cache", GONE, 502, "9111-5.2.2.4"),
    *(case(f"sie-request-{name}", "5861-4", says, step(answer("Cache-Control: max-age=10", "Age: 20")), step(origin, ask=[f"Cache-Control: {cc}"], status=200, body=OWN)) for name, says, cc, origin in (
        ("503", "a client may say that it takes what is stale in place of an error", "stale-if-error=60", answer(status=503, body=NEW)),
        ("lost", "or of none", "max-age=0, stale-if-error=60", GONE),
        ("max-age", "whatever else it would like", "max-age=0, stale-if-error=60", answer(status=500, body=NEW)),
    )),
    *(case(f"sie-request-not-{name}", "5861-4", says, step(answer(f"Cache-Control: {stored}", "Age: 20")), step(answer(status=status, body=NEW), ask=[f"Cache-Control: {cc}"])) for name, says, stored, cc, status in (
        ("over", "for so long and no longer", "max-age=10", "stale-if-error=5", 503),
        ("must-revalidate", "unless the origin forbids it", "max-age=10, must-revalidate", "stale-if-error=60", 503),
        ("no-cache", "or wants each request", "no-cache, max-age=10", "stale-if-error=60", 503),
        ("404", "and only in place of an error", "max-age=10", "stale-if-error=60", 404),
    )),
    case("sie-told", "9211-2.4", "Cache-Status tells that it is stale", step(answer("Cache-Control: max-age=10, stale-if-error=60", "Age: 20")), step(answer(status=503), status=200, body=OWN, gets={"Cache-Status": "~ttl=-", "Age": ">=20"})),
    case("sie-not-shared-error", "9111-4.3.3", "an error in place of what is stored does not stick", step(answer("Cache-Control: max-age=10", "Age: 20")), step(answer(status=503, body=NEW)), step(RENEWED), step(body=NEW)),
]  # fmt: skip
CASES = [*BEHIND, *ON_ERROR]
