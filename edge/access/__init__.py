"""Access: who may. Here: edges that ask a shield or a sibling, and how they show that they are ours.

Nouns: *pass* (what an edge says of a request that it passes on, signed), *key* (what it signs with), *nonce*,
*admission* (what a listener asks for). It knows no sockets and no cache.
"""
