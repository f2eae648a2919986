"""`edge doctor`: what it finds on machines that a test lays out, and on this one."""

import json
import os
import socket
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.config.schema import Settings
from edge.runtime.doctor import disks as disks_room
from edge.runtime.doctor import fit as fit_room
from edge.runtime.doctor import sending as sending_room
from edge.runtime.doctor.disks import look_at_disks
from edge.runtime.doctor.findings import Finding, State, worst
from edge.runtime.doctor.fit import look_at_fit
from edge.runtime.doctor.machine import ClockState, Machine, existing
from edge.runtime.doctor.sending import look_at_sending
from edge.runtime.doctor.system import WISHES, look_at_system
from tests.support.certs import make_cert

GOOD_SETTINGS = {
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_rmem": "4096 131072 67108864",
    "net.ipv4.tcp_wmem": "4096 65536 67108864",
    "net.ipv4.tcp_congestion_control": "bbr",
    "net.core.default_qdisc": "fq",
    "net.ipv4.tcp_slow_start_after_idle": "0",
    "net.ipv4.tcp_available_congestion_control": "reno cubic bbr",
}


class Laid(Machine):
    """A machine as a directory, with limits and a clock of its own."""

    descriptors_here = 1_048_576
    clock_here = ClockState(True, 0.001)

    @property
    def descriptors(self) -> int:
        return self.descriptors_here

    def clock(self) -> ClockState:
        return self.clock_here


def laid(root: Path, **sysctls: str) -> Laid:
    said = {wish.name: str(wish.least) for wish in WISHES} | GOOD_SETTINGS
    said |= {name.replace("__", "."): value for name, value in sysctls.items()}
    for name, value in said.items():
        path = root / "proc/sys" / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    (root / "proc/sys/kernel").mkdir(exist_ok=True)
    (root / "proc/sys/kernel/osrelease").write_text("6.8.0-31-generic\n")
    (root / "proc/meminfo").write_text("MemTotal:       32000000 kB\nMemFree: 1 kB\n")
    (root / "proc/self").mkdir(exist_ok=True)
    (root / "proc/self/mounts").write_text("/dev/sda1 / ext4 rw,relatime 0 0\nnas:/c /nas nfs4 rw 0 0\n")
    return Laid(root)


def of(findings: Iterable[Finding], what: str) -> Finding:
    (found,) = [finding for finding in findings if what in finding.what]
    return found


def test_a_machine_that_is_tuned_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = list(look_at_system(laid(tmp_path), 5))
    assert worst(findings) is State.GOOD
    assert not any(finding.mend for finding in findings)
    assert len(findings) == len(WISHES) + 4


def test_each_setting_that_is_too_small_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    small = {wish.name.replace(".", "__"): "1" for wish in WISHES}
    small |= {"net__ipv4__tcp_rmem": "4096 131072 6291456", "net__ipv4__tcp_congestion_control": "cubic"}
    small["net__ipv4__tcp_mtu_probing"] = small["vm__dirty_bytes"] = "0"
    small |= {"net__ipv4__tcp_notsent_lowat": "4294967295", "vm__swappiness": "60"}
    findings = [finding for finding in look_at_system(laid(tmp_path, **small), 1) if finding.area == "sysctl"]
    assert {finding.state for finding in findings} == {State.NOTE}
    for finding in findings:
        assert finding.mend.startswith(f"sysctl -w {finding.what}=")
    assert "tcp_rmem='4096 131072 16777216'" in of(findings, "tcp_rmem").mend
    assert "tcp_congestion_control='bbr'" in of(findings, "tcp_congestion_control").mend
    assert "tcp_notsent_lowat='131072'" in of(findings, "tcp_notsent_lowat").mend
    assert "vm.dirty_bytes='536870912'" in of(findings, "dirty_bytes").mend
    assert "vm.swappiness='1'" in of(findings, "swappiness").mend


def test_a_setting_that_a_container_does_not_see_is_no_complaint(tmp_path: Path) -> None:
    machine = laid(tmp_path)
    (tmp_path / "proc/sys/net/core/rmem_max").unlink()
    assert of(look_at_system(machine, 1), "rmem_max").state is State.GOOD


def test_an_old_kernel_few_descriptors_little_memory_and_a_wrong_clock_are_told(tmp_path: Path) -> None:
    machine = laid(tmp_path)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("4.19.0\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{512 << 20}\n")
    machine.descriptors_here = 1024
    machine.clock_here = ClockState(False, 16.0)
    findings = list(look_at_system(machine, 5))
    assert of(findings, "release").state is State.WRONG
    assert of(findings, "open files").state is State.WRONG
    assert of(findings, "memory").state is State.NOTE
    assert of(findings, "memory").found == "0.5 GiB for 5 processes"
    assert of(findings, "synchronised").state is State.NOTE
    machine.clock_here = ClockState(None, 0.0)
    assert of(look_at_system(machine, 1), "synchronised").found == "cannot be asked"


def settings(tmp_path: Path, **more: object) -> Settings:
    said = {"cache": {"dir": str(tmp_path / "cache"), "size": 32 << 20}, "server": {"workers": 1}, **more}
    return Settings.model_validate(said)


def test_a_disk_with_room_is_good_and_one_without_is_told_how_much_there_is(tmp_path: Path) -> None:
    machine = laid(tmp_path / "root")
    good = list(look_at_disks(machine, settings(tmp_path)))
    assert of(good, ": room").state is State.GOOD
    assert of(good, "durable write").found.endswith(" ms")
    assert not list(tmp_path.glob(".edge-doctor*"))
    large = list(look_at_disks(machine, settings(tmp_path, cache={"dir": str(tmp_path), "size": 10**18})))
    assert of(large, ": room").state is State.NOTE
    assert "size at most" in of(large, ": room").mend


def test_a_network_file_system_is_wrong_and_a_volume_in_memory_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = laid(tmp_path / "root")
    mounts = tmp_path / "root/proc/self/mounts"
    for kind, state in (("nfs4", State.WRONG), ("tmpfs", State.NOTE), ("fat", State.NOTE), ("xfs", State.GOOD)):
        mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nx {tmp_path} {kind} rw 0 0\n")
        assert of(look_at_disks(machine, settings(tmp_path)), "file system").state is state
    mounts.write_text("")
    assert of(look_at_disks(machine, settings(tmp_path)), "file system").found == "unknown"
    monkeypatch.setattr(disks_room, "DURABLE_MOST", -1.0)
    assert of(look_at_disks(machine, settings(tmp_path)), "durable write").state is State.NOTE


def test_an_index_on_a_disk_that_turns_is_noted(tmp_path: Path) -> None:
    machine = laid(tmp_path / "root")
    number = tmp_path.stat().st_dev
    queue = tmp_path / f"root/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue"
    queue.mkdir(parents=True)
    for said, noted in (("1", True), ("0", False)):
        (queue / "rotational").write_text(said)
        assert any("index in" in found.what for found in look_at_disks(machine, settings(tmp_path))) is noted


def test_a_directory_that_cannot_be_written_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disks_room.os, "open", refused)
    assert of(look_at_disks(laid(tmp_path / "root"), settings(tmp_path)), "durable").state is State.WRONG


def test_sending_is_tried_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = list(look_at_sending(settings(tmp_path)))
    assert of(findings, "sendfile").found == "65536 bytes at once"
    monkeypatch.setattr(sending_room, "tls_send_path", lambda: "ktls")
    assert of(look_at_sending(settings(tmp_path)), "TLS bodies").state is State.GOOD

    def refused(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(sending_room.os, "sendfile", refused)
    assert of(look_at_sending(settings(tmp_path)), "sendfile").state is State.WRONG


def test_more_workers_than_cores_and_a_port_that_is_taken_are_noted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        said = settings(tmp_path, server={"workers": 250, "listen": [listen]}, admin={"listen": "[::1]:0"})
        findings = list(look_at_fit(laid(tmp_path / "root"), said))
    assert of(findings, "workers").state is State.NOTE
    assert of(findings, "server.listen").state is State.NOTE
    assert of(findings, "admin.listen").state is State.GOOD


def test_a_port_that_this_user_may_not_have_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fit_room.socket, "socket", Refusing)
    assert of(look_at_fit(laid(tmp_path / "root"), settings(tmp_path)), "admin.listen").state is State.WRONG


@pytest.mark.parametrize(
    ("left", "state"),
    [(timedelta(days=90), State.GOOD), (timedelta(days=5), State.NOTE), (-timedelta(days=3), State.WRONG)],
)
def test_a_certificate_that_ends_soon_is_noted_and_one_that_has_ended_is_wrong(
    tmp_path: Path, left: timedelta, state: State
) -> None:
    made = make_cert(tmp_path, "a.example", left=left)
    said = settings(tmp_path, tls=[{"cert": str(made.cert), "key": str(made.key)}])
    assert of(look_at_fit(laid(tmp_path / "root"), said), "certificate").state is state


def test_a_certificate_that_cannot_be_used_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("junk")
    said = settings(tmp_path, tls=[{"cert": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")}])
    assert of(look_at_fit(laid(tmp_path / "root"), said), "tls.cert").state is State.WRONG


def test_an_origin_is_connected_to_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = laid(tmp_path / "root", net__ipv4__tcp_rmem="4096 131072 6291456")
    with socket.create_server(("127.0.0.1", 0)) as origin:
        port = origin.getsockname()[1]
        said = settings(tmp_path, origin={"url": f"http://127.0.0.1:{port}"})
        assert of(look_at_fit(machine, said), "origin http").state is State.GOOD
        assert not any("origin http" in found.what for found in look_at_fit(machine, said, origin=False))
        monkeypatch.setattr(fit_room, "_round_trip", lambda *_: 0.2)
        window = of(look_at_fit(machine, said), "window from afar")
        assert "tcp_rmem='4096 131072 25000000'" in window.mend
    monkeypatch.undo()
    assert of(look_at_fit(machine, said), "origin http").state is State.WRONG


def test_each_member_of_the_upstream_is_connected_to_and_named_by_its_role(tmp_path: Path) -> None:
    machine = laid(tmp_path / "root")
    with socket.create_server(("127.0.0.1", 0)) as shield, socket.create_server(("127.0.0.1", 0)) as gone:
        there, away = (f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in (shield, gone))
        members = [{"url": there, "role": "shield"}, {"url": away, "role": "origin"}]
        gone.close()
        findings = list(look_at_fit(machine, settings(tmp_path, upstream=members)))
        assert of(findings, f"shield {there}").state is State.GOOD
        assert of(findings, f"origin {away}").state is State.WRONG


def test_an_upstream_that_no_site_goes_to_is_noted(tmp_path: Path) -> None:
    films = [{"url": "http://127.0.0.1:9", "group": "films"}]
    machine = laid(tmp_path / "root")
    found = of(look_at_fit(machine, settings(tmp_path, upstream=films), origin=False), "group films")
    assert (found.state, found.found) == (State.NOTE, "no site goes to it")
    asked = settings(tmp_path, upstream=films, site=[{"name": "a", "upstream": "films"}])
    assert not [one for one in look_at_fit(machine, asked, origin=False) if "group" in one.what]


def test_a_congestion_control_that_the_kernel_does_not_have_is_noted(tmp_path: Path) -> None:
    said = settings(tmp_path, origin={"congestion_control": "bbr"})
    machine = laid(tmp_path / "root")
    assert of(look_at_fit(machine, said), "congestion_control").state is State.GOOD
    machine = laid(tmp_path / "root", net__ipv4__tcp_available_congestion_control="reno cubic")
    found = of(look_at_fit(machine, said), "congestion_control")
    assert found.state is State.NOTE
    assert "modprobe tcp_bbr" in found.mend
    for_one = settings(tmp_path, upstream=[{"url": "http://127.0.0.1:9", "congestion_control": "bbr"}])
    found = of(look_at_fit(machine, for_one, origin=False), "upstream.congestion_control bbr")
    assert (found.state, "in [upstream]" in found.mend) == (State.NOTE, True)


def test_how_tls_bodies_leave_is_told_and_only_noted_where_a_certificate_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_room, "tls_send_path", lambda: "mmap")
    assert of(look_at_sending(settings(tmp_path)), "TLS bodies").state is State.GOOD
    made = make_cert(tmp_path, "a.example")
    said = settings(tmp_path, tls=[{"cert": str(made.cert), "key": str(made.key)}])
    assert of(look_at_sending(said), "TLS bodies").state is State.NOTE


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    machine = Machine()
    assert machine.release > (4, 0)
    assert machine.memory_bytes > 1 << 20
    assert machine.mount_of(Path("/proc/self")) is not None
    assert machine.clock().synchronised in (True, False)
    assert existing(tmp_path / "a/b/c") == tmp_path


def test_the_verb_reports_for_people_and_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--cache-dir", str(tmp_path / "c")]
    config = tmp_path / "edge.toml"
    config.write_text('[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\n[admin]\nlisten = "127.0.0.1:0"\n')
    code = main(["doctor", "--config", str(config), *flags])
    said = capsys.readouterr().out
    assert "sendfile from" in said
    assert said.splitlines()[-1].endswith(" wrong")
    main(["doctor", "--config", str(config), *flags, "--json"])
    found = json.loads(capsys.readouterr().out)
    states = {finding["state"] for finding in found}
    assert (code == 1) == ("wrong" in states)
    assert all(finding["mend"] for finding in found if finding["state"] == "wrong")
    monkeypatch.setattr(fit_room, "parse_listen", lambda _: ("192.0.2.1", 80))
    assert main(["doctor", "--config", str(config), *flags, "--quiet", "--strict"]) == 1
    assert "sendfile" not in capsys.readouterr().out


def test_a_configuration_that_cannot_be_read_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edge.toml").write_text("[serve]\n")
    assert main(["doctor", "--config", str(tmp_path / "edge.toml")]) == 2
    assert "line 1" in capsys.readouterr().err
