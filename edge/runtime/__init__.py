"""Processes: supervisor, workers, keepers; signals, drain, and the one place where rooms are wired together.

`supervisor` lives and ends, by the rules of `lifecycle`; `holdings` are the sockets and shared memory that outlive
children, `listeners` makes the sockets, `places` start and watch child processes, `charter` is what a child is
given, `child` what it runs, `worker` and `keeper` wire the rooms of each role. `convert` turns configuration into
the rooms' own settings, `checks` tries certificates before anything starts, `report` says what was started, and
`admin` is the operators' HTTP.
"""
