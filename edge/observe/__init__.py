"""What is seen from outside: the metric catalogue, cells in shared memory, rendering, the access log.

Each process counts in its own *slot file* (a memfd that the supervisor made); the supervisor reads all of them
at a scrape. Nothing here may slow a hit (2 us) or break an answer: what fails here is dropped and counted.

Nouns: a *metric* is an entry of the catalogue (`metric`, `catalogue`), a *series* one of its label combinations, a
*cell* 8 bytes of a slot file (`slots`). Processes count through `meters` and `process`; `zeros` and `render` make
`/metrics`, `reference` the page about it. A *line* is one request in the log (`lines`, `access_log`).

It must not know what a site, an upstream or a volume is: they are label values here.
"""
