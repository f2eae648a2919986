"""The cases, one module an area."""
