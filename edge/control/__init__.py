"""What operators ask of a running node: the admin API, purges, warm jobs, the fleet.

Nouns: *ask* the body of a request, *aim* the purges that an ask means, *node* what this room needs of the process
that it runs in (handed in by `runtime`), *operator* who may ask, with a role.
It does not know processes, signals or configuration files.
"""
