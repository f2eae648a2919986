"""Processes: supervisor, workers, keepers; signals, drain, and the one place where rooms are wired together.

`supervisor` owns sockets and children, `child` is what a child process runs, `worker` and `keeper` wire the rooms
of each role, `convert` turns configuration into the rooms' own settings, `admin` is the operators' HTTP.
"""
