"""What to keep: synthetic video workloads, the referee's policies, and an exact model of our packs.

`workload` makes seeded traces, `referee` runs the published policies over them (libcachesim), `model` is our volume
without the bytes, `published` repeats figures that others have printed, `charts` draws. Nothing here is imported by
the edge; the model imports the edge's own constants, so that both cannot drift apart.
"""
