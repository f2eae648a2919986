"""All cases in one list."""

from tests.conformance.case import Case
from tests.conformance.cases import (
    corners,
    demands,
    freshness,
    invalidating,
    messages,
    parts,
    ranges,
    stale,
    storing,
    validation,
    vary,
)

AREAS = (freshness, storing, demands, vary, validation, ranges, parts, stale, invalidating, messages, corners)
CASES: list[Case] = [case for area in AREAS for case in area.CASES]
