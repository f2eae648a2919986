"""`edge demo`: an origin with a film, an edge before it, a page that plays it; and the origin whose content
describes itself, which tests and benchmarks use so that a client can prove every byte it got.
"""
