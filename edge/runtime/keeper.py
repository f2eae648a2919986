"""The keeper process of one volume, wired: store, origin client, desk. Read it top to bottom."""
