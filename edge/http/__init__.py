"""HTTP as values: parsing and wording of fields, ranges, conditions, dates. Pure: no I/O, no clock, no asyncio."""
