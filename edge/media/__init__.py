"""What video objects are: kinds by path and type, media types, what playlists and manifests tell of
themselves.

Nouns: Kind (from `words`), Facts (from `policy`). Names and bodies come from strangers: they are scanned in
bounded time, nothing in them is expanded or followed. Media must not know of caches: what follows from a kind
is `policy`'s.
"""
