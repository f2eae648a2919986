"""Disks of the cache: kind, room, how long a durable write takes."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.config.schema import Settings
from edge.runtime.doctor.findings import Finding, State, judged
from edge.runtime.doctor.machine import Machine, existing
from edge.words import MIB

LOCAL: Final = frozenset({"ext4", "xfs", "btrfs", "zfs", "f2fs", "ext3"})
FAR: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs"})
DURABLE_MOST: Final = 0.1  # seconds for 1 MiB and fdatasync; a keeper does that once a second
LIVE_BYTES: Final = 64 * MIB  # of short-lived answers, in shared memory, for each volume


def look_at_disks(machine: Machine, settings: Settings) -> Iterator[Finding]:
    for volume in settings.volumes:
        path = Path(volume.path)
        yield _kind(machine, path)
        yield _room(path, volume.size, settings.cache.min_free)
        yield _durable(path)
    index = Path(settings.cache.index_dir or settings.volumes[0].path)
    if machine.rotates(existing(index)):
        mend = "index_dir in [cache] on an SSD or a tmpfs: a look-up should not wait for a disk to turn"
        yield Finding(
            "disks",
            f"index in {index}",
            State.NOTE,
            "on a disk that turns, says the kernel (virtual ones often do)",
            mend,
        )
    yield _shared_memory(len(settings.volumes))


def _kind(machine: Machine, path: Path) -> Finding:
    mount = machine.mount_of(existing(path))
    if mount is None:
        return Finding("disks", f"{path}: file system", State.NOTE, "unknown", "look at `findmnt`")
    if mount.kind in FAR:
        mend = "a disk of this machine: locks, mappings and fdatasync are not what they seem over a network"
        return Finding("disks", f"{path}: file system", State.WRONG, mount.kind, mend)
    if mount.kind in ("tmpfs", "ramfs"):
        return Finding("disks", f"{path}: file system", State.NOTE, mount.kind, "gone at the next boot; a real disk")
    found = f"{mount.kind} on {mount.device}"
    return judged(
        "disks", f"{path}: file system", found, good=mount.kind in LOCAL, mend="ext4 or xfs are what was measured"
    )


def _room(path: Path, size: int, min_free: float) -> Finding:
    about = os.statvfs(existing(path))
    whole, free = about.f_blocks * about.f_frsize, about.f_bavail * about.f_frsize
    used = sum(entry.stat().st_blocks * 512 for entry in path.glob("packs/*")) if path.is_dir() else 0
    most = free + used - int(whole * min_free)
    return judged(
        "disks",
        f"{path}: room",
        f"{most / 1e9:.1f} GB for {size / 1e9:.1f} GB",
        good=most >= size,
        mend=f"size at most {max(most, 0) / 1e9:.0f}GB, or a larger disk ({min_free:.0%} of it stay free)",
    )


def _durable(path: Path) -> Finding:
    """Write 1 MiB, have it made durable, remove it."""
    probe = existing(path) / f".edge-doctor-{os.getpid()}"
    what = f"{path}: durable write"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            begun = time.monotonic()
            os.write(fd, bytes(MIB))
            os.fdatasync(fd)
            seconds = time.monotonic() - begun
        finally:
            os.close(fd)
            probe.unlink()
    except OSError as error:
        return Finding("disks", what, State.WRONG, f"{error.strerror}", f"let this user write in {probe.parent}")
    mend = "a disk that is less busy or faster: commits wait for it, players do not"
    return judged("disks", what, f"{seconds * 1000:.1f} ms", good=seconds <= DURABLE_MOST, mend=mend)


def _shared_memory(volumes: int) -> Finding:
    place, wanted = Path("/dev/shm"), volumes * LIVE_BYTES
    if not place.is_dir():
        mend = "mount a tmpfs there: else playlists of live streams are written to the cache's disk"
        return Finding("disks", "/dev/shm", State.NOTE, "absent", mend)
    about = os.statvfs(place)
    free = about.f_bavail * about.f_frsize
    mend = f"at least {wanted // MIB} MiB (docker: --shm-size): short-lived answers are kept there"
    return judged("disks", "/dev/shm", f"{free // MIB} MiB free", good=free >= wanted, mend=mend)
