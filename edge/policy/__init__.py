"""Pure decisions: cache key, whether and how long an answer may be kept, what to do with it then, site rules.

Nouns: SiteRules (a tenant's settings), Head (status and fields of an answer), Verdict (what `judge` makes of
it), Refusal (why it is not kept), Facts (what a playlist tells of itself), Decision (what to do with a kept
answer). `storability` says whether, `freshness` how long, `judge` puts the two together. RFC 9111 is the law
here; where an origin is silent, a site's defaults speak. No I/O, no clock: times are arguments. Policy must
not know where things are kept nor how they are sent.
"""
