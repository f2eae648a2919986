"""The only room that speaks HTTP to upstreams (DESIGN D2).

`client` gives one answer per request, `pool` owns connections, `connection` is the wire: parser, framing, bytes
too many. `retry` tries again. Nothing here knows caches; what an answer means is for `fill` and `policy`.
"""
