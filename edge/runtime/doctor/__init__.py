"""Is this machine fit for an edge, and for this configuration? Each finding says how to mend it.

`machine` reads facts (from a root directory, so that a test can lay out another machine), `findings` are values,
`system`, `disks`, `sending` and `fit` judge. Nothing here changes anything but a probe file that it removes.
"""
