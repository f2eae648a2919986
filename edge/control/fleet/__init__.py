"""What is told to all nodes of a fleet: purges and warm jobs, through one Redis stream.

Nouns: *order* a purge or a warm job for every node, *stamp* an order's place in the stream (milliseconds by Redis'
clock, and a number), *cursor* the last stamp that this node has done, kept beside the cache that it speaks of, *tail*
what a stream is at its ends, *distrust* everything that is stored becomes stale.

A node reads on from its cursor, does the orders one after the other, moves the cursor and tells it to the others: that
is its acknowledgement. What the stream has dropped meanwhile cannot be made up for, so that a node which may have
missed anything distrusts all it has. Without Redis a node works alone, and says so.
"""
