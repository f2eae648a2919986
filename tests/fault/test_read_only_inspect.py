"""`edge inspect` reads only: a cache on a file system that cannot be written, as one has it after a failure."""

import json
import subprocess
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.words import MIB
from tests.support.crashdisk import missing, mounted_image
from tests.support.volumes import open_volume, put

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.mark.parametrize("counter", [True, False], ids=["as it was", "its counter is lost"])
def test_a_cache_on_a_read_only_file_system_is_inspected_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, counter: bool
) -> None:
    image, where = tmp_path / "disk.img", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted_image(image, where) as mounted:
        volume = open_volume(mounted, live_dir=tmp_path)
        for n in range(3):
            put(volume, f"/{n}", 1, 90_000)
        volume.close()
        if not counter:
            (mounted / "v" / "counter").unlink()
    with mounted_image(image, where, "ro") as mounted:
        assert main(["inspect", "--json", str(mounted / "v")]) == 0
        assert json.loads(capsys.readouterr().out)["objects"] == 3
        assert main(["inspect", "--verify", str(mounted / "v")]) == 0
        assert "3" in capsys.readouterr().out
