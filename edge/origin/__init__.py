"""The only room that speaks HTTP to upstreams (DESIGN D2).

A *group* orders the *members* of an upstream for an object (role, selection, *breaker*). `client` gives one answer per
request of one member: `pool` owns its connections, `line` says who waits for one, `dial` and `names` open them, `path`
knows how far it is, `connection` is the wire: parser, framing, bytes too many. `retry` goes on to the next member and
tries again, within a *budget*; `hedge` asks twice when the first byte is late. Nothing here knows caches; what an
answer means is for `fill` and `policy`.
"""
