"""The faulty origin: each fault is seen on the wire as what it is, and harms nobody else."""

import asyncio

import aiohttp
import pytest

from tests.support.selforigin import Fault, FaultyOrigin, body_slice, check, raw_answer

SIZE = 300_000
PATH = f"/s/{SIZE}/a.ts"
PART = "Range: bytes=1000-1999"
WRONG_RANGES = {
    Fault.RANGE_START: b"Content-Range: bytes 1001-2000/300000",
    Fault.RANGE_END: b"Content-Range: bytes 1000-2000/300000",
    Fault.RANGE_TOTAL: b"Content-Range: bytes 1000-1999/300001",
    Fault.RANGE_UNIT: b"Content-Range: lines 1000-1999/300000",
}


async def broken(fault: Fault, *fields: str, more: str = "") -> tuple[bytes, bytes]:
    async with FaultyOrigin() as origin:
        answer = await raw_answer(origin.port, f"{PATH}?fault={fault.value}{more}", *fields)
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("fault", [Fault.SHORT, Fault.NO_LENGTH_SHORT])
async def test_a_short_body_ends_at_the_byte_that_was_named(fault: Fault) -> None:
    head, body = await broken(fault, more="&at=777")
    assert (b"Content-Length: 300000" in head) == (fault is Fault.SHORT)
    assert body == body_slice(PATH, 1, 0, 777)


async def test_a_reset_is_a_reset() -> None:
    async with FaultyOrigin() as origin:
        with pytest.raises(ConnectionResetError):
            await raw_answer(origin.port, f"{PATH}?fault=reset&at=5")


async def test_a_stall_sends_its_bytes_and_then_nothing_until_the_client_leaves() -> None:
    async with FaultyOrigin() as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
        writer.write(f"GET {PATH}?fault=stall&at=100 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(100) == body_slice(PATH, 1, 0, 100)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("fault", [Fault.SURPLUS, Fault.SURPLUS_LATE, Fault.UNASKED])
async def test_surplus_bytes_follow_a_complete_body(fault: Fault) -> None:
    head, body = await broken(fault)
    assert b"Content-Length: 300000" in head
    assert check(PATH, 1, 0, body[:SIZE]) is None
    assert len(body) > SIZE
    assert body[SIZE:].startswith(b"HTTP/1.1 200") == (fault is Fault.UNASKED)


@pytest.mark.parametrize("fault", WRONG_RANGES)
async def test_a_wrong_content_range_is_sent_with_the_right_part(fault: Fault) -> None:
    head, body = await broken(fault, PART)
    assert head.startswith(b"HTTP/1.1 206")
    assert WRONG_RANGES[fault] in head
    assert head.count(b"Content-Range") == 1
    assert body == body_slice(PATH, 1, 1000, 2000)
    whole, _ = await broken(fault)
    assert b"Content-Range" not in whole


async def test_other_wrong_parts() -> None:
    head, body = await broken(Fault.RANGE_MISSING, PART)
    assert head.startswith(b"HTTP/1.1 206")
    assert b"Content-Range" not in head
    head, body = await broken(Fault.PART_LENGTH, PART)
    assert b"Content-Length: 999" in head
    assert len(body) == 999
    head, body = await broken(Fault.PART_ENCODED, PART)
    assert b"Content-Encoding: gzip" in head
    head, body = await broken(Fault.PART_UNASKED)
    assert head.startswith(b"HTTP/1.1 206")
    assert b"Content-Range: bytes 0-149999/300000" in head
    assert len(body) == 150_000
    head, body = await broken(Fault.MULTIPART, PART)
    assert b"multipart/byteranges" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert body_slice(PATH, 1, 1000, 2000) in body


async def test_framing_that_contradicts_itself() -> None:
    head, _ = await broken(Fault.TWO_LENGTHS)
    assert b"Content-Length: 300000" in head
    assert b"Content-Length: 300001" in head
    head, body = await broken(Fault.LENGTH_AND_CHUNKED)
    assert b"Content-Length: 300000" in head
    assert b"chunked" in head
    assert body.endswith(b"\r\n0\r\n\r\n")


async def test_broken_chunks() -> None:
    head, body = await broken(Fault.CHUNK_SHORT, more="&at=70000")
    assert b"Content-Length" not in head
    assert body.startswith(b"10000\r\n" + body_slice(PATH, 1, 0, 0x10000) + b"\r\n")
    assert not body.endswith(b"0\r\n\r\n")
    _, body = await broken(Fault.BAD_CHUNK, more="&at=10")
    assert body == b"a\r\n" + body_slice(PATH, 1, 0, 10) + b"\r\nZZ\r\nnot a chunk\r\n"
    _, body = await broken(Fault.TRAILERS)
    assert body.endswith(b"0\r\nX-Checksum: none\r\nX-More: 1\r\n\r\n")


async def test_broken_heads() -> None:
    assert await broken(Fault.REFUSE) == (b"", b"")
    assert (await broken(Fault.BAD_HEAD))[0] == b"HTTP/1.1 two hundred"
    assert b"\r\nno colon here\r\n" in (await broken(Fault.BAD_FIELD))[0]
    assert len((await broken(Fault.HUGE_HEAD))[0]) > 1024 * 1024
    head, body = await broken(Fault.SLOW_HEAD)
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == SIZE
    head, body = await broken(Fault.NO_LENGTH)
    assert b"Content-Length" not in head
    assert len(body) == SIZE


async def test_validators_that_cannot_be_trusted() -> None:
    head, _ = await broken(Fault.ETAG_TWICE)
    assert head.count(b"ETag: ") == 2
    assert b"ETag: no-quotes" in (await broken(Fault.ETAG_BAD))[0]
    assert (await broken(Fault.NOT_MODIFIED))[0].startswith(b"HTTP/1.1 304")
    async with FaultyOrigin() as origin:
        answers = [await raw_answer(origin.port, f"{PATH}?fault=etag-changes") for _ in range(3)]
    assert len({answer.partition(b"\r\n\r\n")[0] for answer in answers}) == 3


async def test_informational_answers_come_before_the_right_one() -> None:
    async with FaultyOrigin() as origin:
        answer = await raw_answer(origin.port, f"{PATH}?fault=informational")
    first, second, third, body = answer.split(b"\r\n\r\n", 3)
    assert (first[:12], second[:12], third[:12]) == (b"HTTP/1.1 103", b"HTTP/1.1 100", b"HTTP/1.1 200")
    assert check(PATH, 1, 0, body) is None


async def test_one_flipped_bit_is_what_the_content_check_is_for() -> None:
    _, body = await broken(Fault.FLIP, more="&at=123456")
    wrong = check(PATH, None, 0, body)
    assert wrong is not None
    assert wrong.offset == 123_456


async def test_a_fault_ends_after_the_times_that_were_named() -> None:
    async with FaultyOrigin() as origin, aiohttp.ClientSession() as http:
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                async with http.get(f"{origin.url}{PATH}?fault=short&times=2") as got:
                    await got.read()
        async with http.get(f"{origin.url}{PATH}?fault=short&times=2") as got:
            assert check(PATH, 1, 0, await got.read()) is None


@pytest.mark.parametrize("fault", Fault)
async def test_no_fault_harms_the_next_client(fault: Fault) -> None:
    async with FaultyOrigin() as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
        writer.write(f"GET {PATH}?fault={fault.value} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.read(1000)
        writer.transport.abort()
        answer = await raw_answer(origin.port, PATH)
        assert check(PATH, 1, 0, answer.partition(b"\r\n\r\n")[2]) is None


@pytest.mark.parametrize(
    "head", [b"GET\r\n\r\n", b"GET a HTTP/1.1\r\n\r\n", b"GET / HTTP/2\r\n\r\n", b"GET / HTTP/1.1\r\nx\r\n\r\n"]
)
async def test_what_is_no_request_is_told_so(head: bytes) -> None:
    async with FaultyOrigin() as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.port)
        writer.write(head)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()
