"""Sockets: from accepted connections to requests, and from answers to bytes on the wire.

`listener` accepts, `connection` is the protocol of one connection, `reader` turns bytes into requests,
`exchange` is one request and its answer (what a handler sees), `sending` drives a body window by window,
`sweep` keeps the deadlines, `tls` and `hello` choose certificates.

Rules: a handler is called synchronously and answers when it can; one answer at a time, in order; at most one
window of a body is queued; a body that cannot be completed ends in a reset, never cleanly. The room knows
nothing of caching, sites or files: handlers bring windows, it sends them.
"""
