"""Pure decisions: cache key, whether and how long an answer may be kept, what to do with what is kept, site rules.

No I/O, no clock: `now` is an argument. RFC 9111 is the law here; the defaults are CONVENTIONS section 1.
"""
