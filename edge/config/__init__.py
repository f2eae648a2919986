"""What an operator writes: TOML and flags, validated into `Settings`; errors say line, field, value, hint.

Rooms below do not know this one: `runtime.convert` turns settings into each room's own frozen values.
"""
