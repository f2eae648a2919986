"""Every MUST, SHOULD and MAY for caches, and the cases that show it; or the reason why there is none.

RFC 9111 sections 3-5, RFC 9110 sections 8.8, 13 and 14, RFC 5861, 8246, 9211 and 9213, in their order and in our words.
What is asked of origin servers, user agents, registries or authors of extensions is not a cache's and says so.
`*` at the end of a case's name stands for all that begin so.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """`section` as `9111-3`; `level` as the RFC writes it; one of `cases` and `reason`."""

    section: str
    level: str
    says: str
    cases: tuple[str, ...] = ()
    reason: str = ""


def _shown(section: str, level: str, says: str, *cases: str) -> Requirement:
    return Requirement(section, level, says, cases)


def _without(section: str, level: str, says: str, reason: str) -> Requirement:
    return Requirement(section, level, says, reason=reason)


SENDER = "asked of who makes the message, an origin or a client; here it passes unchanged"
AGENT = "asked of a user agent or of a client of its own making"
ORIGIN = "asked of an origin server: it has the representation"
UNIT = "shown by unit tests of edge/http and edge/policy"

STORING = [
    _shown(
        "9111-3", "MUST NOT", "store unless the method is understood", "method-*", "unsafe-not-kept", "head-body-none"
    ),
    _shown("9111-3", "MUST NOT", "store unless the status is final", "interim-*"),
    _shown(
        "9111-3",
        "MUST NOT",
        "store 206, 304 or must-understand unless the status is understood",
        "part-*",
        "must-understand*",
        "client-miss-forwarded",
    ),
    _shown("9111-3", "MUST NOT", "store against no-store", "no-store*"),
    _shown("9111-3", "MUST NOT", "store in a shared cache against private", "private", "private-*"),
    _shown("9111-3", "MUST NOT", "store an answer to credentials without leave", "auth", "auth-*"),
    _shown(
        "9111-3",
        "MUST NOT",
        "store without a ground: a directive, Expires, or a status that is guessed at",
        "heuristic-not-*",
        "heuristic-without",
        "status-*",
    ),
    _shown("9111-3", "MAY", "an extension overrides these", "cdn-cc-fresh-over-no-store", "must-understand-no-store"),
    _shown("9111-3", "SHOULD", "what must-understand overrides is decided by the status", "must-understand-unknown"),
    _shown("9111-3.1", "MUST", "keep all fields of the answer, unknown ones too", "header-*"),
    _shown(
        "9111-3.1",
        "MUST",
        "remove Connection and what it names before passing on",
        "hop-*",
        "forward-not-*",
        "forward-nominated",
    ),
    _shown("9111-3.1", "MAY", "do so before storing", "hop-nominated"),
    _shown("9111-3.1", "MUST NOT", "keep fields that no-cache or private names", "no-cache-fields", "private-fields*"),
    _shown(
        "9111-3.1",
        "MUST NOT",
        "keep fields of a proxy's authentication",
        "hop-proxy-authenticate",
        "hop-proxy-authorization",
        "hop-proxy-authentication-info",
    ),
    _shown("9111-3.1", "MAY", "keep trailers apart or drop them", "body-chunked-trailers"),
    _shown("9111-3.1", "MUST NOT", "combine trailers with header fields", "trailers-not-merged"),
    _shown("9111-3.2", "MUST", "add each field that is given, replacing those that are there", "renew-*"),
    _shown(
        "9111-3.2", "MAY", "leave out fields that the stored body depends on", "renew-not-length", "renew-not-encoding"
    ),
    _shown("9111-3.3", "MAY", "keep an incomplete answer if it is recorded as such", "part-kept", "part-suffix-kept"),
    _shown("9111-3.3", "MAY", "keep a 206 as an incomplete 200", "part-kept", "part-within"),
    _shown(
        "9111-3.3",
        "MUST NOT",
        "keep incomplete or partial answers without knowing Range and Content-Range",
        "part-star-total",
        "part-length-wrong",
        "part-multipart",
    ),
    _shown("9111-3.3", "MAY", "complete it by a further range request and combine", "part-not-whole", "parts-combined"),
    _shown(
        "9111-3.3",
        "MUST NOT",
        "answer with it unless it was completed or the range lies within",
        "part-not-whole",
        "body-cut",
        "body-until-close",
    ),
    _shown("9111-3.3", "MUST NOT", "send a part without 206", "part-kept", "range-*"),
    _shown("9111-3.4", "MAY", "combine parts with the same strong validator", "parts-combined"),
    _shown("9111-3.4", "MUST NOT", "combine others", "parts-no-validator", "parts-weak", "parts-other-version"),
    _shown(
        "9111-3.5",
        "MUST NOT",
        "use an answer to credentials without public, must-revalidate or s-maxage",
        "auth",
        "auth-*",
    ),
]
USING = [
    _shown("9111-4", "MUST NOT", "use an answer of another target", "query-*", "path-*"),
    _shown("9111-4", "MUST NOT", "use it for a method that it does not suit", "method-*"),
    _shown("9111-4", "MUST NOT", "use it if the nominated fields differ", "vary-*"),
    _shown("9111-4", "MUST NOT", "use it with no-cache unless validated", "no-cache", "no-cache-*"),
    _shown(
        "9111-4",
        "MUST NOT",
        "use it unless it is fresh, allowed stale, or validated",
        "cc-*",
        "expires-*",
        "age-*",
        "sie-*",
        "swr-*",
    ),
    _shown(
        "9111-4", "MUST", "make an Age when using it without validation", "age-told", "age-grows", "header-age-replaced"
    ),
    _shown("9111-4", "MUST", "write unsafe methods through", "unsafe-*", "body-*"),
    _shown("9111-4", "MUST", "use the most recent of several that suit", "req-no-cache-renews", "vary-changed"),
    _without("9111-4", "MUST", "without a clock, validate each time", "the machine has a clock"),
    _shown(
        "9111-4.1",
        "MUST NOT",
        "use a variant whose fields do not match",
        "vary-differs",
        "vary-missing*",
        "vary-empty-missing",
        "vary-star*",
    ),
    _shown("9111-4.1", "MAY", "choose among variants by ranked preference", "vary-language-*"),
    _shown("9111-4.1", "SHOULD", "prefer an answer with Vary to one without", "vary-no-more"),
    _shown("9111-4.2", "SHOULD", "match dates without regard to case", "expires-case-*"),
    _without("9111-4.2", "MUST", "a coarser clock rounds Expires down", "times are in seconds, as dates are"),
    _without(
        "9111-4.2",
        "MUST NOT",
        "let local time zones matter",
        "only GMT is read, and reckoned in seconds of Unix time; " + UNIT,
    ),
    _shown("9111-4.2", "SHOULD", "take a zone other than GMT for invalid", "expires-zone-*"),
    _shown("9111-4.2.2", "MAY", "guess where there is no explicit life", "heuristic-200", "heuristic-public-*"),
    _shown("9111-4.2.2", "MUST NOT", "guess where there is one", "heuristic-not-over-explicit"),
    _without(
        "9111-4.2.3", "MUST", "count the Age that came from the time of the request on", UNIT + " (response delay)"
    ),
    _shown("9111-4.2.3", "MAY", "take the corrected age for the initial one", "age-apparent", "age-below", "age-above"),
    _shown(
        "9111-4.2.4", "MUST NOT", "serve stale what is forbidden to be", "swr-not-*", "sie-not-*", "req-max-stale-*"
    ),
    _shown(
        "9111-4.2.4",
        "MUST NOT",
        "serve stale unless disconnected or allowed",
        "sie-not-without",
        "sie-disconnected",
        "swr-not-without",
    ),
    _shown("9111-4.3.1", "MUST", "send the stored entity tags", "validate-etag*", "vary-validated"),
    _shown("9111-4.3.1", "SHOULD", "send Last-Modified for a whole", "validate-modified", "validate-both"),
    _without(
        "9111-4.3.1",
        "MAY",
        "send it as If-Unmodified-Since or If-Range for a part",
        "only entity tags complete parts here",
    ),
    _shown("9111-4.3.2", "SHOULD", "judge conditions against a stored 200 or 206", "client-etag*", "client-since*"),
    _shown(
        "9111-4.3.2",
        "MUST NOT",
        "judge conditions for origins, or without anything stored",
        "client-match-not-judged",
        "client-unmodified-not-judged",
        "client-miss-*",
    ),
    _shown(
        "9111-4.3.2",
        "SHOULD",
        "judge If-Modified-Since by Date where there is no Last-Modified",
        "client-since-after-date",
        "client-since-before-date",
    ),
    _without(
        "9111-4.3.2",
        "MAY",
        "send the union of the client's tags and its own",
        "only the stored tag is sent: the client's are judged against what comes",
    ),
    _without("9111-4.3.2", "MUST NOT", "put a part's tag into that union", "there is no union"),
    _shown(
        "9111-4.3.2",
        "MUST",
        "answer 200 when the tag is not the client's",
        "client-stale-validated",
        "client-stale-changed",
    ),
    _shown("9111-4.3.3", "MUST", "use a full answer to a validation", "validate-200", "validate-404"),
    _shown("9111-4.3.3", "MAY", "keep it", "validate-200"),
    _shown("9111-4.3.4", "MUST NOT", "renew what has another validator", "validate-other-304"),
    _shown("9111-4.3.4", "MUST", "renew the fields of what was identified", "renew-*", "validate-304-*"),
    _shown(
        "9111-4.3.5",
        "SHOULD",
        "renew or invalidate stored answers after HEAD",
        "head-renews*",
        "head-other-*",
        "head-410",
    ),
    _shown("9111-4.3.5", "SHOULD", "renew if validators and length match", "head-renews", "head-renews-modified"),
    _shown("9111-4.3.5", "SHOULD", "else take it for stale", "head-other-etag", "head-other-length"),
    _shown("9111-4.3.5", "MUST", "use the fields of the answer to HEAD", "head-renews"),
    _shown("9111-4.4", "MUST", "invalidate the target after an unsafe method's success", "unsafe-*"),
    _shown(
        "9111-4.4", "MAY", "invalidate Location and Content-Location", "unsafe-location-*", "unsafe-content-location-*"
    ),
    _shown(
        "9111-4.4",
        "MUST NOT",
        "do so for another origin",
        "unsafe-location-foreign*",
        "unsafe-content-location-foreign*",
    ),
]
FIELDS = [
    _shown("9111-5.1", "SHOULD", "use the first of several Ages", "age-list-*", "age-lines-*"),
    _shown(
        "9111-5.1",
        "SHOULD",
        "ignore an invalid one",
        "age-junk*",
        "age-negative",
        "age-fraction",
        "age-empty",
        "age-quoted",
        "age-parameter",
    ),
    _shown("9111-5.2", "MUST", "pass directives through", "req-cc-forwarded", "client-304-fields"),
    _shown("9111-5.2.1", "MAY", "obey directives of requests", "req-*"),
    _without("9111-5.2.1.1", "MUST NOT", "a sender quotes max-age, max-stale, min-fresh", AGENT),
    _shown("9111-5.2.1.5", "MUST NOT", "keep anything of a request with no-store, or its answer", "req-no-store"),
    _without(
        "9111-5.2.1.5",
        "MUST",
        "drop it from memory soon",
        "what is passed lies in scratch memory that ends with the answer",
    ),
    _shown("9111-5.2.1.7", "SHOULD", "answer only-if-cached from the cache or with 504", "req-only-if-cached*"),
    _shown("9111-5.2.2", "MUST", "obey directives of answers", "cc-*", "no-*", "private*", "must-*"),
    _without("9111-5.2.2.1", "MUST NOT", "a sender quotes max-age, s-maxage", SENDER),
    _shown(
        "9111-5.2.2.2",
        "MUST NOT",
        "use what is stale with must-revalidate before it was validated",
        "swr-not-must-revalidate",
        "sie-not-must-revalidate",
    ),
    _shown("9111-5.2.2.2", "MUST NOT", "ignore must-revalidate", "req-max-stale-must-revalidate"),
    _shown("9111-5.2.2.2", "MUST", "give an error when disconnected", "sie-not-disconnected-must-revalidate"),
    _shown(
        "9111-5.2.2.2",
        "SHOULD",
        "with 504, unless another status is more to the point",
        "sie-not-disconnected-must-revalidate",
    ),
    _without("9111-5.2.2.3", "SHOULD", "must-understand comes with no-store", SENDER),
    _shown("9111-5.2.2.3", "SHOULD", "ignore no-store where the status is understood", "must-understand-no-store"),
    _shown("9111-5.2.2.4", "MUST NOT", "use no-cache without validation", "no-cache", "no-cache-validated"),
    _shown("9111-5.2.2.4", "MAY", "use an answer without the fields that no-cache names", "no-cache-fields"),
    _without("9111-5.2.2.4", "SHOULD NOT", "a sender uses the token form", SENDER),
    _shown("9111-5.2.2.5", "MUST NOT", "keep or re-use what says no-store", "no-store*"),
    _without(
        "9111-5.2.2.5",
        "MUST",
        "drop it from memory soon",
        "what is passed lies in scratch memory that ends with the answer",
    ),
    _shown("9111-5.2.2.6", "MUST NOT", "transform against no-transform", "no-transform", "req-no-transform"),
    _shown("9111-5.2.2.7", "MUST NOT", "keep what is private", "private", "private-*"),
    _without("9111-5.2.2.7", "MAY", "a private cache keeps it", "this cache is shared"),
    _shown("9111-5.2.2.7", "MUST NOT", "keep the fields that private names", "private-fields"),
    _shown("9111-5.2.2.7", "MAY", "keep the rest", "private-fields"),
    _without("9111-5.2.2.7", "SHOULD NOT", "a sender uses the token form (which is read)", SENDER),
    _shown(
        "9111-5.2.2.8",
        "MUST NOT",
        "use what is stale with proxy-revalidate",
        "swr-not-proxy-revalidate",
        "sie-not-proxy-revalidate",
        "sie-not-disconnected-proxy-revalidate",
    ),
    _shown("9111-5.2.2.9", "MAY", "keep what is public", "public", "heuristic-public-*", "auth-public"),
    _shown(
        "9111-5.2.2.10",
        "MUST NOT",
        "use what is stale with s-maxage",
        "swr-not-s-maxage",
        "sie-not-s-maxage",
        "sie-not-disconnected-s-maxage",
    ),
    _shown("9111-5.2.3", "MUST", "ignore unknown directives", "cc-unknown-directives", "req-unknown", "cdn-cc-unknown"),
    _without("9111-5.2.4", "MUST", "what a registration says", "asked of authors of extensions"),
    _shown(
        "9111-5.3",
        "MUST",
        "take invalid dates for the past",
        "expires-0",
        "expires-minus-1",
        "expires-junk",
        "expires-empty",
        "expires-iso",
    ),
    _shown("9111-5.3", "MUST", "ignore Expires beside max-age", "expires-with-max-age", "expires-with-max-age-0"),
    _shown("9111-5.3", "MUST", "ignore Expires beside s-maxage", "expires-with-s-maxage"),
    _without("9111-5.3", "MUST NOT", "a server without a clock makes Expires", SENDER),
]
VALIDATORS = [
    _without("9110-8.8", "SHOULD", "a server sends validators", ORIGIN),
    _shown(
        "9110-8.8.1",
        "MUST",
        "weak validators are not used where a strong one is needed",
        "parts-weak",
        "if-range-weak-*",
    ),
    _without("9110-8.8.2", "SHOULD", "a server sends Last-Modified", ORIGIN),
    _without("9110-8.8.2.1", "MUST NOT", "a server's Last-Modified is later than Date", ORIGIN),
    _shown(
        "9110-8.8.2.2",
        "MUST",
        "a Last-Modified is weak unless it can be told to be strong",
        "if-range-date",
        "if-range-date-weak",
    ),
    _without("9110-8.8.3", "SHOULD", "a server sends ETag; MUST mark weak ones", ORIGIN),
    _shown(
        "9110-8.8.3",
        "MUST",
        "an entity tag has the grammar's form",
        "client-etag-unquoted-*",
        "client-etag-lower-w",
        "client-etag-comma*",
        "client-etag-obs",
    ),
    _shown(
        "9110-8.8.3.2",
        "MUST",
        "strong and weak comparison as defined",
        "client-etag-weak-*",
        "client-etag-both-weak",
        "if-range-weak-*",
    ),
    _without("9110-8.8.3.3", "SHOULD", "encoded representations have tags of their own", ORIGIN),
]
CONDITIONS = [
    _without("9110-13.1.1", "MUST NOT", "an origin acts when If-Match fails; MAY answer 412", ORIGIN),
    _shown(
        "9110-13.1.1", "MAY", "a cache or intermediary ignores If-Match", "client-match-not-judged", "conditions-passed"
    ),
    _shown("9110-13.1.2", "MUST", "compare If-None-Match weakly", "client-etag-weak-asked", "client-etag-weak-stored"),
    _shown(
        "9110-13.1.2",
        "MUST NOT",
        "act when it matches; 304 to GET and HEAD",
        "client-etag",
        "client-head-304",
        "client-etag-star",
    ),
    _shown(
        "9110-13.1.3",
        "MUST",
        "ignore If-Modified-Since beside If-None-Match",
        "client-etag-over-since",
        "client-etag-over-since-304",
    ),
    _shown("9110-13.1.3", "MUST", "ignore one that is no date", "client-since-junk"),
    _shown("9110-13.1.3", "SHOULD", "304 when nothing has changed since", "client-since-same", "client-since-later"),
    _without(
        "9110-13.1.3",
        "SHOULD",
        "a client sends the exact Last-Modified",
        AGENT + "; validations here do: validate-modified",
    ),
    _shown("9110-13.1.4", "MAY", "a cache or intermediary ignores If-Unmodified-Since", "client-unmodified-not-judged"),
    _without("9110-13.1.4", "MUST", "an origin ignores it beside If-Match, or without a date", ORIGIN),
    _without("9110-13.1.5", "MUST NOT", "a client sends If-Range without Range, or with a weak tag", AGENT),
    _shown("9110-13.1.5", "MUST", "ignore If-Range without Range", "if-range-alone"),
    _shown("9110-13.1.5", "MUST", "use the strong comparison, or the exact date", "if-range-*"),
    _shown(
        "9110-13.1.5",
        "SHOULD",
        "send the part when it is true, ignore Range when it is not",
        "if-range-same",
        "if-range-other",
    ),
    _shown("9110-13.2.1", "MUST", "judge conditions only for what would be 2xx or 412 without them", "client-on-404"),
    _shown(
        "9110-13.2.1",
        "MUST",
        "a server that is not the origin does not judge what only it can",
        "conditions-passed",
        "client-miss-match-forwarded",
    ),
    _shown("9110-13.2.2", "MUST", "judge in the order that is given", "client-etag-over-since*", "range-conditional"),
]
RANGES = [
    _shown(
        "9110-14.1.1",
        "MUST",
        "a list of ranges that is invalid is ignored or refused",
        "range-reversed",
        "range-empty",
        "range-junk",
    ),
    _shown("9110-14.1.2", "MUST", "suffixes and open ends as defined", "range-suffix*", "range-open", "range-beyond"),
    _shown("9110-14.2", "MAY", "ignore Range", "part-several-miss", "if-range-miss"),
    _shown("9110-14.2", "MUST", "ignore Range for methods other than GET", "head-of-range"),
    _shown("9110-14.2", "MUST", "ignore an unknown unit", "range-other-unit"),
    _shown(
        "9110-14.2", "MAY", "an intermediary ignores, or passes on, a unit that it does not know", "range-other-unit"
    ),
    _shown("9110-14.2", "SHOULD", "206 for what can be satisfied, 416 for what cannot", "range-first", "range-416"),
    _without(
        "9110-14.2",
        "SHOULD",
        "refuse lists that look like an attack",
        UNIT + "; beyond 16 parts, or more than the whole, the whole is sent",
    ),
    _without(
        "9110-14.3", "MAY", "send Accept-Ranges", "a plain cache passes the origin's; a site for players says bytes"
    ),
    _shown(
        "9110-14.4",
        "MUST NOT",
        "recombine a part whose Content-Range is invalid",
        "part-length-wrong",
        "part-star-total",
    ),
    _shown(
        "9110-14.4",
        "MUST",
        "a proxy that gets an invalid one passes it downstream",
        "part-length-wrong",
        "part-other-range",
    ),
    _shown("9110-14.4", "SHOULD", "416 tells the length", "range-416", "part-416-passed"),
    _shown("9110-14.6", "MUST", "several parts are multipart/byteranges", "range-several"),
    _without("9110-14.5", "MAY", "partial PUT", "passed on like every unsafe request; the origin judges it"),
]
OTHERS = [
    _shown("5861-3", "MAY", "serve stale within stale-while-revalidate", "swr-plain", "swr-max-age-0"),
    _shown("5861-3", "SHOULD", "renew it meanwhile without delay to the client", "swr-plain", "swr-304", "swr-vary"),
    _shown("5861-3", "SHOULD NOT", "serve it when that time is over", "swr-not-over"),
    _shown(
        "5861-4",
        "MAY",
        "serve stale within stale-if-error on 500, 502, 503, 504 and broken connections",
        "sie-500",
        "sie-502",
        "sie-503",
        "sie-504",
        "sie-closed",
        "sie-cut-head",
    ),
    _shown("5861-4", "SHOULD NOT", "serve it when that time is over", "sie-not-over"),
    _without(
        "5861-4", "MAY", "stale-if-error of a request", "only the origin's word allows stale answers in place of errors"
    ),
    _shown(
        "8246-2",
        "SHOULD NOT",
        "clients validate what is immutable while it is fresh (a cache does not either)",
        "immutable",
    ),
    _without("8246-2", "SHOULD", "clients ignore immutable without TLS", AGENT),
    _shown("8246-2", "MUST", "arguments of immutable are ignored", "immutable-argument"),
    _shown("8246-2.1", "SHOULD", "validate once it is stale", "immutable-stale", "immutable-alone"),
    _shown("9211-2", "MUST", "one member a cache, the nearest to the origin first", "status-members"),
    _shown("9211-2", "MUST", "a member is a token or string that names the cache", "status-miss", "status-hit"),
    _shown("9211-2", "SHOULD", "append, and leave the members of others", "status-members"),
    _shown("9211-2.1", "MUST NOT", "hit and fwd together", "status-hit", "status-miss"),
    _shown(
        "9211-2.2",
        "SHOULD",
        "fwd tells the most specific reason",
        "status-request",
        "status-stale",
        "vary-status",
        "answer-passed",
    ),
    _shown("9211-2.3", "MAY", "fwd-status is left out where it is the answer's (it is told)", "validate-status-told"),
    _shown("9211-2.4", "MUST", "ttl is an integer, negative when stale", "status-hit", "sie-told", "swr-plain"),
    _shown("9211-2.5", "MUST", "stored tells whether it was kept", "status-miss", "status-not-stored"),
    _without(
        "9211-2.6",
        "MAY",
        "collapsed",
        "its wording by unit tests of edge/http, that waiters share a fetch by tests/contract/test_fill.py",
    ),
    _without("9211-2.7", "MAY", "key", "a site's setting; shown by tests/scenario/test_profiles.py"),
    _without("9211-2.8", "MAY", "detail", "errors have it; its wording by unit tests of edge/http"),
    _shown(
        "9213-2",
        "MUST",
        "a targeted field is a dictionary; what does not parse is ignored as a whole",
        "cdn-cc-*-is-ignored",
    ),
    _shown("9213-2.1", "MUST", "parameters are ignored", "cdn-cc-parameter"),
    _shown(
        "9213-2.1",
        "MUST",
        "values of another type are invalid",
        "cdn-cc-string-number",
        "cdn-cc-decimal",
        "cdn-cc-negative",
    ),
    _shown(
        "9213-2.2",
        "MUST",
        "the first valid field of the target list that is not empty is used, Cache-Control and Expires ignored",
        "cdn-cc-fresh-over-*",
        "cdn-cc-0-over-cc",
        "cdn-cc-empty",
    ),
    _shown("9213-2.2", "MUST", "otherwise the other means are used", "cdn-cc-junk-is-ignored", "cdn-cc-other-target"),
    _shown(
        "9213-2.2",
        "MUST NOT",
        "fields that are not in the target list matter",
        "cdn-cc-other-target",
        "surrogate-control",
    ),
    _shown("9213-3.1", "MAY", "a CDN uses CDN-Cache-Control and passes it on", "cdn-cc-told"),
    _without(
        "9213-2.3",
        "MAY",
        "users configure the target list",
        "the list is CDN-Cache-Control, as the RFC's own section 3.1 has it",
    ),
]
REQUIREMENTS = [*STORING, *USING, *FIELDS, *VALIDATORS, *CONDITIONS, *RANGES, *OTHERS]
