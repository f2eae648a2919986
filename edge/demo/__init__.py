"""The demo: an origin with a film, an edge before it, a page that plays it; and the origin whose content
describes itself, which tests and benchmarks use so that a client can prove every byte it got.

Nouns: `describing` is the content; `wishes` are what a request's query asks of the origin; a `plan` is the answer
that was decided; the `ledger` remembers who asked what, holds requests back for tests, and knows versions.
`origin_server` (aiohttp) answers correctly; `faulty_origin` (raw asyncio) breaks the wire on purpose.
It knows nothing of the edge's rooms below `config`: an origin that shared the edge's parsers would agree with its faults.
"""
