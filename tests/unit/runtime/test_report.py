"""What a start-up says, and what it must not fail at."""

import builtins
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.config.schema import Settings
from edge.observe.meters import Meters
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.runtime import report
from edge.runtime.listeners import bind
from edge.server.expiry import ends_at
from edge.store.residency import Residency
from tests.support.certs import make_cert


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with bind("127.0.0.1:0", "f") as one, bind("127.0.0.1:0", "f") as two:
        yield one, two


def told(
    tmp_path: Path,
    sockets: tuple[socket.socket, socket.socket],
    raw: dict[str, dict[str, object]],
    *,
    tls: bool = False,
    descriptors: int | None = None,
) -> str:
    settings = Settings.model_validate({**raw, "cache": {"dir": str(tmp_path), **raw.get("cache", {})}})
    return "\n".join(report.facts(settings, ((sockets[0], tls),), sockets[1], descriptors))


def test_addresses_and_origin_are_told_as_people_write_them(
    tmp_path: Path, sockets: tuple[socket.socket, socket.socket]
) -> None:
    said = told(tmp_path, sockets, {"origin": {"url": "https://o/base", "host": "films.example"}})
    assert f"listening for players on http://127.0.0.1:{sockets[0].getsockname()[1]}" in said
    assert f"admin (metrics, health) on http://127.0.0.1:{sockets[1].getsockname()[1]}" in said
    assert "misses are fetched from https://o/base, asked for as films.example" in said
    assert "open files" not in said
    assert "access log" not in said


def test_where_each_upstream_leads_is_told_and_one_that_no_site_goes_to(
    tmp_path: Path, sockets: tuple[socket.socket, socket.socket]
) -> None:
    upstream = [{"url": "http://f", "group": "films"}, {"url": "http://s", "group": "series"}]
    raw = {"upstream": upstream, "site": [{"name": "a", "upstream": "films"}]}
    said = told(tmp_path, sockets, raw)  # type: ignore[arg-type]
    assert "misses of films are fetched from http://f" in said
    assert "no site goes to upstream series" in said
    assert "no site goes to upstream films" not in said
    assert "no site goes to upstream origin" in told(tmp_path, sockets, {**raw, "origin": {"url": "http://o"}})  # type: ignore[dict-item]


def test_few_descriptors_and_an_access_log_are_told(
    tmp_path: Path, sockets: tuple[socket.socket, socket.socket]
) -> None:
    said = told(tmp_path, sockets, {"log": {"access": "stdout"}}, descriptors=1024)
    assert "only 1024 open files are allowed here (ulimit -n)" in said
    assert "access log: stdout, addresses: truncate" in said


@pytest.mark.parametrize(("path", "words"), [("ktls", "encrypted by the kernel"), ("mmap", "from memory maps")])
def test_tls_says_how_bodies_leave(
    tmp_path: Path,
    sockets: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    words: str,
) -> None:
    monkeypatch.setattr(report, "tls_send_path", lambda: path)
    said = told(tmp_path, sockets, {}, tls=True)
    assert words in said
    assert "bodies leave by sendfile (aio" not in said


@pytest.mark.parametrize("works", [True, False])
def test_a_system_that_does_not_say_what_is_in_memory_is_told_of(
    tmp_path: Path, sockets: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    monkeypatch.setattr(Residency, "_try", lambda _: works)
    assert ("no cachestat(2) here" in told(tmp_path, sockets, {})) is not works


def test_a_cache_that_its_disk_cannot_hold_is_told(
    tmp_path: Path, sockets: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_blocks=1_000_000, f_frsize=1000))
    assert "has room for 0.9 GB (min_free 5% is left free)" not in told(tmp_path, sockets, {"cache": {"size": "0.9GB"}})
    said = told(tmp_path, sockets, {"cache": {"size": "10GB"}})
    assert "the cache may take 10.0 GB, but its file system has room for 0.9 GB (min_free 5% is left free)" in said


def test_a_reader_that_has_gone_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(builtins, "print", gone)
    report.say("to nobody")


def test_the_end_of_each_certificate_is_told_and_a_bad_one_harms_nobody(tmp_path: Path) -> None:
    good = make_cert(tmp_path, "a.example")
    (tmp_path / "bad.pem").write_text("none")
    tls = [{"cert": str(good.cert), "key": str(good.key)}, {"cert": str(tmp_path / "bad.pem"), "key": "k"}]
    fd = create_slot_file("slots")
    report.tell_settings(Meters(SlotWriter(fd)), Settings.model_validate({"tls": tls}))
    told = {(metric.name, labels): value for metric, labels, value in SlotReader(fd)}
    assert told["edge_tls_certificate_expiry_timestamp_seconds", ("0",)] == ends_at(good.cert)
    assert ("edge_tls_certificate_expiry_timestamp_seconds", ("1",)) not in told
    assert told["edge_config_last_reload_success", ()] == 1
    os.close(fd)


def test_what_a_reload_removes_is_told_of_no_more_and_again_when_it_is_back(tmp_path: Path) -> None:
    certs = [make_cert(tmp_path, name) for name in ("a.example", "b.example")]
    both = [{"cert": str(cert.cert), "key": str(cert.key), "names": [cert.names[0]]} for cert in certs]
    fd = create_slot_file("slots")
    meters, reader = Meters(SlotWriter(fd)), SlotReader(fd)

    def ends(tls: list[dict[str, object]], **server: object) -> set[tuple[str, ...]]:
        report.tell_settings(meters, Settings.model_validate({"tls": tls, "server": server}))
        names = ("edge_tls_certificate_expiry_timestamp_seconds", "edge_link_capacity_bytes_per_second")
        return {labels for metric, labels, _ in reader if metric.name in names}

    assert ends(both, link_capacity="1GiB") == {("0",), ("1",), ()}
    assert ends(both[:1]) == {("0",)}
    SlotWriter(fd)  # a program that takes over begins with what is there, and tells of it anew
    assert ends(both[:1]) == {("0",)}
    assert ends([]) == set()
    assert ends(both, link_capacity="1GiB") == {("0",), ("1",), ()}
    os.close(fd)
