"""The demo: an origin with a film, an edge before it, a page that plays it; and the origin whose content
describes itself, which tests and benchmarks use so that a client can prove every byte it got.

Nouns: `describing` is the content; `wishes` are what a request's query asks of the origin; an `answer` is what was
decided; the `ledger` remembers who asked what, holds requests back for tests, and knows versions.
`origin_server` (aiohttp) answers correctly; `faulty_origin` (raw asyncio) breaks the wire on purpose.
It shares no parser with the edge: an origin that did would agree with the edge's mistakes.
"""
