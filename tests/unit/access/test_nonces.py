"""A pass serves once, whichever worker it comes to, and whatever has become of the worker that it served with."""

import fcntl
import os
from pathlib import Path

import pytest

from edge.access.admission import Admission, AdmissionSettings, Refused
from edge.access.keys import KeyFile
from edge.access.nonces import NonceFile
from edge.access.passes import Context, write_pass
from edge.words import Refusal

NOW = 1_800_000_000.0
MOST = 1000


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    path = tmp_path / "keys"
    path.write_text("one " + "1" * 32)
    return KeyFile(path)


def worker(directory: Path, keys: KeyFile) -> Admission:
    return Admission(AdmissionSettings(keys), NonceFile(directory, MOST))


def admit(admission: Admission, value: bytes, now: float = NOW) -> Refusal | None:
    try:
        admission.admit(b"GET", b"/a", [value], "192.0.2.1", None, wall=now, monotonic=now - NOW)
    except Refused as refused:
        return refused.refusal
    return None


def test_what_one_worker_has_seen_none_of_the_others_lets_in_nor_its_successor(tmp_path: Path, keys: KeyFile) -> None:
    value = write_pass(Context(), b"GET", b"/a", key=keys.signing(0.0), now=NOW)
    one, other = worker(tmp_path, keys), worker(tmp_path, keys)
    assert admit(one, value) is None
    assert admit(other, value) is Refusal.REPLAY
    del one, other
    assert admit(worker(tmp_path, keys), value, NOW + 59) is Refusal.REPLAY
    assert admit(worker(tmp_path, keys), value, NOW - 59) is Refusal.REPLAY
    assert admit(worker(tmp_path, keys), value, NOW + 61) is Refusal.SKEW  # and from then on by its time


def test_each_of_many_is_known_and_no_other_is_taken_for_one(tmp_path: Path) -> None:
    one, other = NonceFile(tmp_path, MOST), NonceFile(tmp_path, MOST)
    nonces = [os.urandom(16) for _ in range(MOST)]
    assert not any(one.seen(nonce, int(NOW) + 60, NOW) for nonce in nonces)
    known = sum(other.seen(nonce, int(NOW) + 60, NOW) for nonce in nonces)
    assert known > MOST * 0.99  # a full bucket has forgotten one


def test_what_is_over_makes_room_first(tmp_path: Path) -> None:
    file = NonceFile(tmp_path, 8)  # one bucket
    for number in range(100):
        file.seen(b"old%d" % number, int(NOW) + number // 10, NOW)
    file.seen(b"good", int(NOW) + 60, NOW)
    for number in range(15):
        assert not file.seen(b"new%d" % number, int(NOW) + 100, NOW + 30)
        assert file.seen(b"good", int(NOW) + 60, NOW + 30)


def test_where_the_file_cannot_be_written_a_worker_goes_by_what_it_has_seen_itself(
    tmp_path: Path, keys: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    value = write_pass(Context(), b"GET", b"/a", key=keys.signing(0.0), now=NOW)
    one = worker(tmp_path, keys)
    assert admit(one, value) is None
    assert admit(one, value) is Refusal.REPLAY


def test_of_two_workers_that_get_a_pass_at_the_same_moment_the_second_waits_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = NonceFile(tmp_path, MOST), NonceFile(tmp_path, MOST)
    lockf, looks = fcntl.lockf, 0

    def held_by_one(fd: int, operation: int, length: int, start: int) -> None:
        nonlocal looks
        looks += operation != fcntl.LOCK_UN
        if looks == 1:
            raise BlockingIOError(11, "another process has it")
        monkeypatch.setattr(fcntl, "lockf", lockf)
        assert not one.seen(b"nonce", int(NOW) + 60, NOW)  # and lets go of it in this moment
        lockf(fd, operation, length, start)

    monkeypatch.setattr(fcntl, "lockf", held_by_one)
    assert other.seen(b"nonce", int(NOW) + 60, NOW)


def test_nobody_waits_for_a_process_that_stands_still(tmp_path: Path) -> None:
    file = NonceFile(tmp_path, 8)
    held, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        own = NonceFile(tmp_path, 8)
        own._lock(0)
        os.write(told[1], b"1")
        os.read(held[0], 1)
        os._exit(0)
    try:
        os.read(told[0], 1)
        assert not file.seen(b"nonce", int(NOW) + 60, NOW)
        assert file.seen(b"nonce", int(NOW) + 60, NOW)
    finally:
        os.write(held[1], b"1")
        os.waitpid(child, 0)
        for fd in (*held, *told):
            os.close(fd)
