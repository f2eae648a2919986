"""The private directory of a running server, and what killed ones left."""

import os
import re
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.runtime import rundir
from edge.runtime.rundir import RuntimeDirectory
from edge.store.owned import LOCK, clear

OURS = re.compile(f"edge-{os.geteuid()}-[0-9a-z_]{{8,12}}")


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for runtime directories; pytest's own are too long for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="run-", dir="/tmp") as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        yield Path(path)


def test_the_directory_is_ours_alone_and_the_same_for_the_same_cache(base: Path) -> None:
    (base / "one").mkdir()
    (base / "two").mkdir()
    first = RuntimeDirectory.of(base / "one")
    assert first.path.parent == base
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700
    sock, path = first.link("cache.link")
    sock.close()
    assert Path(path).exists()
    (base / "alias").symlink_to(base / "one")
    os.close(first.lock)  # it has been killed
    again = RuntimeDirectory.of(base / "alias")
    assert again.path == first.path
    assert not Path(path).exists()  # what a predecessor left is swept
    assert RuntimeDirectory.of(base / "two").path != first.path
    again.remove()
    assert not first.path.exists()


@pytest.mark.parametrize("how", ["open to others", "a link", "a file"])
def test_a_directory_that_somebody_else_prepared_is_not_used(base: Path, how: str) -> None:
    (base / "cache").mkdir()
    first = RuntimeDirectory.of(base / "cache")
    first.remove()
    name = first.path
    (base / "trap").mkdir(mode=0o700)
    match how:
        case "open to others":
            name.mkdir()
            name.chmod(0o777)
        case "a link":
            name.symlink_to(base / "trap")
        case _:
            name.write_text("")
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path != name
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.link("cache.link")[0].close()
    assert list((base / "trap").iterdir()) == []


def test_a_path_too_long_for_a_socket_is_not_used(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = base / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    (base / "cache").mkdir()
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path.parent == base
    directory.link("cache.link")[0].close()
    directory.remove()


def test_a_base_that_does_not_serve_is_passed_over(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    (base / "t").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "none"))
    monkeypatch.setattr(tempfile, "tempdir", str(base / "t"))
    assert RuntimeDirectory.of(base / "cache").path.parent == base / "t"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert RuntimeDirectory.of(base / "cache").path.parent == base / "t"


def test_where_all_else_is_read_only_the_cache_serves(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    real = Path.mkdir

    def mkdir(path: Path, *rest: int) -> None:
        if path.parent != base / "cache":
            raise OSError(30, "Read-only file system")
        real(path, *rest)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path.parent == base / "cache"
    directory.link("cache.link")[0].close()


def test_where_no_base_serves_the_last_reason_is_raised(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    monkeypatch.setattr(rundir, "_bases", lambda _: iter([base / "none", base / ("x" * 200)]))
    with pytest.raises(FileNotFoundError):
        RuntimeDirectory.of(base / "cache")
    monkeypatch.setattr(rundir, "_bases", lambda _: iter([base / ("x" * 200)]))
    with pytest.raises(OSError, match="short enough"):
        RuntimeDirectory.of(base / "cache")


def test_removing_twice_is_no_error(base: Path) -> None:
    (base / "cache").mkdir()
    directory = RuntimeDirectory.of(base / "cache")
    directory.remove()
    directory.remove()
    assert os.listdir(base) == ["cache"]


def test_what_killed_servers_of_other_caches_left_is_removed(base: Path) -> None:
    left = []
    for name in ("one", "two"):
        (base / name).mkdir()
        left.append(RuntimeDirectory.of(base / name))
        left[-1].link("volume-0.link")[0].close()
    (base / "three").mkdir()
    RuntimeDirectory.of(base / "three")
    assert all(directory.path.exists() for directory in left), "their owners live"
    for directory in left:
        os.close(directory.lock)  # as the kernel does when they are killed
    (base / "four").mkdir()
    RuntimeDirectory.of(base / "four")
    assert not any(directory.path.exists() for directory in left)


def test_what_is_not_surely_left_over_is_left_alone(base: Path) -> None:
    prefix = f"edge-{os.geteuid()}-"
    names = ["0123456789ab", "a_making", "open", "a" * 12]
    kept = [base / f"{prefix}{name}" for name in names] + [base / "edge-0x-0123456789ab", base / f"{prefix}x"]
    for path in kept:
        path.mkdir(mode=0o700)
        (path / "control.sock").write_text("")
    (kept[2] / LOCK).write_text("")
    kept[2].rename(base / f"{prefix}open_for_a")
    kept[2] = base / f"{prefix}open_for_a"
    kept[2].chmod(0o755)
    (base / "elsewhere").mkdir(mode=0o700)
    (base / "elsewhere" / LOCK).write_text("")
    (base / f"{prefix}link_to_it").symlink_to(base / "elsewhere")
    clear(base, OURS)
    assert all((path / "control.sock").exists() for path in kept)
    assert (base / "elsewhere" / LOCK).exists()


def test_a_name_whose_owner_lives_is_not_taken_again(base: Path) -> None:
    """An inode of a cache that was deleted under its server may be given to another directory."""
    (base / "cache").mkdir()
    first = RuntimeDirectory.of(base / "cache")
    sock, path = first.link("cache.link")
    second = RuntimeDirectory.of(base / "cache")
    assert second.path != first.path
    assert Path(path).exists()
    sock.close()
    os.close(second.lock)
    clear(base, OURS)
    assert not second.path.exists(), "a random name is known again, too"
    assert first.path.exists()


def test_two_that_start_and_clear_at_once_never_have_the_same_directory(base: Path) -> None:
    """Whoever has the lock has the directory, and it is there: in many rounds, with a third that clears."""
    (base / "cache").mkdir()
    stop = threading.Event()
    seen: list[Exception] = []

    def start() -> None:
        try:
            for _ in range(150):
                directory = RuntimeDirectory.of(base / "cache")
                sock, path = directory.link("cache.link")
                assert Path(path).exists()
                sock.close()
                os.close(directory.lock)
        except Exception as error:
            seen.append(error)

    def sweep() -> None:
        while not stop.is_set():
            clear(base, OURS)

    threads = [threading.Thread(target=start) for _ in range(2)]
    clearing = threading.Thread(target=sweep)
    for thread in (*threads, clearing):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    clearing.join()
    assert seen == []
