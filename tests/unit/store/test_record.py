"""The bytes on disk: fixed for ever, read as they were written, refused when they are not ours."""

import uuid
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import FormatUnknown
from edge.store.journal import (
    DeleteEntry,
    ExtentEntry,
    ObjectEntry,
    SealedEntry,
    encode_entry,
    header,
    read_journal,
)
from edge.store.record import (
    Extent,
    Flag,
    Record,
    blocks,
    checksum,
    decode_extent_row,
    decode_record,
    decode_stored,
    encode_extent_row,
    encode_record,
    marked,
    sums_match,
)
from edge.store.tables import extent_key
from edge.words import Kind

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
extents = st.builds(Extent, u64, u32, u32, u64, st.lists(u64, max_size=20).map(tuple))
records = st.builds(
    Record,
    generation=u64,
    kind=st.sampled_from(Kind),
    status=st.integers(100, 999),
    flags=st.integers(0, 255),
    total=u64,
    slice_size=u32,
    base_time=st.floats(0, 2e9),
    fresh_until=st.floats(0, 2e9),
    stored_at=st.floats(0, 2e9),
    stale_while_revalidate=u32,
    stale_if_error=u32,
    last_modified=u32,
    sequence=u64,
    key=st.binary(max_size=300),
    path=st.binary(max_size=300),
    etag=st.binary(max_size=80),
    vary=st.binary(max_size=40),
    tags=st.lists(st.binary(min_size=1, max_size=30), max_size=4).map(tuple),
    head=st.binary(max_size=500),
    first=st.none() | extents.filter(lambda extent: extent.length > 0),
)
VOLUME = uuid.UUID(int=7)


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def test_the_bytes_of_a_record_are_those_of_the_format() -> None:
    record = Record(
        1, Kind.SEGMENT, 200, Flag.STRONG, 5, 1 << 20, 1.0, 2.0, 3.0, 4, 5, 6, 7, b"k", b"/p", b'"e"', b"", (b"t",),
        b"A: b\r\n", Extent(0, 5, 9, 4096, (10,)),
    )  # fmt: skip
    golden = (
        "0103c800010000000100000000000000050000000000000000001000000000000000f03f00000000"
        "00000040000000000000084004000000050000000600000007000000000000000100020003000000"
        "020000000600000000000000000000000500000009000000001000000000000001000a0000000000"
        "00006b2f702265220174413a20620d0a"
    )
    assert decode_record(bytes.fromhex(golden)) == record  # as it was before records had a checksum
    summed = golden.replace("0200000006000000", "0200080006000000")
    summed = summed.removesuffix("413a20620d0a") + "35931932fc259f42" + "413a20620d0a"
    assert encode_record(record).hex() == summed
    assert decode_record(encode_record(record)) == record


def test_a_record_of_another_version_is_refused_with_a_hint() -> None:
    raw = b"\x09" + encode_record(_record())[1:]
    with pytest.raises(FormatUnknown, match="version 9"):
        decode_record(raw)


def _record() -> Record:
    return Record(
        1, Kind.SEGMENT, 200, 1, 5, 1 << 20, 1.0, 2.0, 3.0, 0, 0, 0, 1, b"k", b"/p", b"", b"", (), b"", None
    )  # fmt: skip


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from([64, 100, 4096]))
def test_blocks_cut_an_extent_at_the_objects_grid(start: int, length: int, size: int) -> None:
    pieces = list(blocks(start, length, size))
    assert sum(end - begin for begin, end in pieces) == length
    assert all(end % size == 0 for _, end in pieces[:-1])
    assert all(one[1] == two[0] for one, two in pairwise(pieces))


def test_each_block_of_an_extent_needs_its_sum_and_no_other() -> None:
    record, data = replace(_record(), slice_size=4), b"abcdefghij"
    sums = tuple(checksum(data[start:end]) for start, end in blocks(0, 10, 4))
    assert sums_match(record, Extent(0, 10, 3, 0, sums), data)
    for wrong in (sums[:-1], (), (*sums, 1), (*sums[:-1], sums[-1] ^ 1)):
        assert not sums_match(record, Extent(0, 10, 3, 0, wrong), data)
    assert not sums_match(record, Extent(0, 10, 3, 0, sums), data[:-1])


ENTRIES = [
    ObjectEntry(b"n" * 16, _record()),
    ExtentEntry(b"n" * 16, 1, Extent(0, 5, 3, 0, (1, 2))),
    ObjectEntry(b"n" * 16, _record(), refresh=True),
    DeleteEntry(b"m" * 16, 5, 6),
    SealedEntry(100),
]


def test_a_journal_is_read_as_it_was_written() -> None:
    raw = header(3, VOLUME) + b"".join(encode_entry(entry) for entry in ENTRIES)
    assert list(read_journal(raw, 3, VOLUME)) == ENTRIES


def test_a_journal_cut_or_damaged_anywhere_gives_the_good_entries_and_nothing_else() -> None:
    raw = header(3, VOLUME) + b"".join(encode_entry(entry) for entry in ENTRIES)
    for cut in range(len(raw)):
        found = list(read_journal(raw[:cut], 3, VOLUME))
        assert found == ENTRIES[: len(found)]
    for at in range(len(header(3, VOLUME)), len(raw)):
        damaged = raw[:at] + bytes((raw[at] ^ 0x40,)) + raw[at + 1 :]
        bad: list[int] = []
        found = list(read_journal(damaged, 3, VOLUME, bad.append))
        lost = [entry for entry in ENTRIES if entry not in found]
        assert len(lost) == 1
        assert found == [entry for entry in ENTRIES if entry is not lost[0]]
        assert bad == [len(header(3, VOLUME)) + sum(len(encode_entry(e)) for e in ENTRIES[: ENTRIES.index(lost[0])])]


def test_a_bad_entry_loses_itself_alone_however_long_it_is() -> None:
    long = replace(
        _record(), tags=tuple(b"tag-%04d" % number for number in range(7000)), head=b"A: %b\r\n" % bytes(60_000)
    )
    entries = [ENTRIES[0], ObjectEntry(b"l" * 16, long), *ENTRIES[1:]]
    raw = header(3, VOLUME) + b"".join(encode_entry(entry) for entry in entries)
    first = len(header(3, VOLUME)) + len(encode_entry(entries[0]))
    for at in (first, first + 2, first + 8, first + 100, first + 100_000):
        damaged = raw[:at] + bytes((raw[at] ^ 0x08,)) + raw[at + 1 :]
        assert list(read_journal(damaged, 3, VOLUME)) == ENTRIES


def test_any_bit_that_flips_in_a_row_of_the_index_is_found() -> None:
    record = replace(_record(), head=b"A: b\r\n", tags=(b"t",), first=Extent(0, 5, 9, 4096, (10,)))
    extent = Extent(5, 5, 9, 8192, (11, 12))
    assert decode_stored(encode_record(record)) == record
    assert decode_stored(marked(encode_record(record), Flag.STALE)) == replace(record, flags=record.flags | Flag.STALE)
    key = extent_key(7, 5)
    row = encode_extent_row(key, extent)
    assert decode_extent_row(key, row) == extent
    for bit in range(len(key) * 8):
        another = bytearray(key)
        another[bit // 8] ^= 1 << bit % 8
        assert decode_extent_row(bytes(another), row) is None, "of another object, or of another place in it"
    for raw, decode in ((encode_record(record), decode_stored), (row, partial(decode_extent_row, key))):
        for bit in range(len(raw) * 8):
            damaged = bytearray(raw)
            damaged[bit // 8] ^= 1 << bit % 8
            assert decode(bytes(damaged)) is None
        for cut in range(len(raw)):
            assert decode(raw[:cut]) is None


def test_one_flipped_bit_in_a_header_is_told_and_costs_no_entry_but_where_it_makes_a_later_version() -> None:
    raw = header(3, VOLUME) + b"".join(encode_entry(entry) for entry in ENTRIES)
    for bit in range(len(header(3, VOLUME)) * 8):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        bad: list[int] = []
        if bit // 8 == 8 and 0 < damaged[8] <= 8:
            with pytest.raises(FormatUnknown, match="version"):
                list(read_journal(bytes(damaged), 3, VOLUME))
            continue
        assert list(read_journal(bytes(damaged), 3, VOLUME, bad.append)) == ENTRIES
        assert bad == ([] if bit // 8 in (10, 11) else [0]), "any row is right"


def test_foreign_journals_are_not_read_and_unknown_versions_refused() -> None:
    raw = header(3, VOLUME) + encode_entry(ENTRIES[0])
    assert list(read_journal(raw, 4, VOLUME)) == []
    assert list(read_journal(raw, 3, uuid.UUID(int=8))) == []
    assert list(read_journal(b"x" * 100, 3, VOLUME)) == []
    with pytest.raises(FormatUnknown, match="version 2"):
        list(read_journal(raw[:8] + b"\x02\x00" + raw[10:], 3, VOLUME))
