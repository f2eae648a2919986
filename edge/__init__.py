"""A video CDN edge: cache edge and origin shield in asyncio Python. `edge/DESIGN.md` tells how it is built."""

__version__ = "0.1.0"
