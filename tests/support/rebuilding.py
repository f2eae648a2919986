"""An index that is lost, and the one that is rebuilt."""

import shutil
from pathlib import Path

from edge.store.tables import TABLES, open_environment
from edge.store.volume import Volume
from edge.words import MIB
from tests.support.volumes import open_volume


def lose_index(directory: Path) -> None:
    """Of a volume that is closed."""
    for index in (directory / "v").glob("index-*"):
        shutil.rmtree(index)


def finish_rebuild(volume: Volume) -> None:
    while volume.rebuild_step():
        pass


def rebuilt(directory: Path, **more: object) -> Volume:
    """A volume whose start does not find, or believe, its index, after the rebuild."""
    volume = open_volume(directory, **more)  # type: ignore[arg-type]
    assert volume.rebuilding
    finish_rebuild(volume)
    return volume


def rows(directory: Path) -> dict[bytes, dict[bytes, bytes]]:
    """All tables of a closed volume's index, without counters."""
    (path,) = (directory / "v").glob("index-*")
    env = open_environment(path, 64 * MIB, readonly=True)
    try:
        with env.begin() as txn:
            return {
                table: {bytes(key): bytes(value) for key, value in txn.cursor(db=env.open_db(table, txn, create=False))}
                for table in TABLES
                if table != b"meta"
            }
    finally:
        env.close()
