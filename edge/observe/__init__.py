"""What is seen from outside: the metric catalogue, cells in shared memory, rendering, the access log.

Each process counts in its own *slot file* (a memfd that the supervisor made); the supervisor reads all of them
at a scrape. Nothing here may slow a hit (2 us) or break an answer: what fails here is dropped and counted.
"""
