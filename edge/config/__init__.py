"""What an operator writes: TOML and flags, validated into `Settings`; errors say line, field, value, hint.

`schema` is the catalogue of everything that can be set, `load` reads a file with flags over it, `explain`
turns what is wrong into words, `lines` finds where it stands, `reference` renders `config/edge.toml`.
Rooms below do not know this one: `runtime.convert` turns settings into each room's own frozen values.
"""
