"""HTTP as values: parsing and wording of fields, ranges, conditions, dates, targets, structured fields.

Nouns: fields (an ordered sequence of name and value), ETag, RangeSpec, ContentRange, CacheControl,
Preconditions, Target. Pure: no I/O, no clock, no asyncio. It knows the grammar of RFC 9110, 9111, 9112, 9211,
9213 and 9651, and must not know what a cache does with what it reads: that is `policy`'s. What a stranger
sent is parsed in time that grows with its length and never raises anything but `BadRequest`.
"""
