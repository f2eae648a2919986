"""One fetch, many readers.

A *flight* is a fill in progress with its readers; a *run* is one stretch of an object that one origin
request brings; a *sink* is where a run's bytes go (pack, memory, scratch). The *desk* is the keeper's side
of the link: it takes requests from workers, joins them to flights and tells them which bytes are there.
The *asker* is the worker's side. Nothing here knows players, sockets towards them, or how an answer to
them is worded; what may be kept is `policy`'s judgement, where it lies is `store`'s.

  desk      which flight a fetch joins, or that one is led for it; `leading` begins it, `shops` has what it works with
  flight    what its readers are told; `runs` which stretches are asked for, for them and for leases, `members` of whom
  lead      the first request: `manner` how it asks, `judging` what the answer is, `placing` what becomes of it
  carry     one run: `stops` how far it goes, `resuming` who goes on after a break, `keeping` what is kept of it
  spread    the same over several connections, in pieces
"""
