"""The command line: verbs, flags, exit codes, and nothing imported that is not needed."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge import __version__
from edge.cli import serve
from edge.cli.main import UNREAD, VERBS, main
from edge.clock import SystemClock
from edge.config.load import ConfigErrors
from edge.store.settings import VolumeSettings
from edge.store.volume import Volume
from tests.support.certificate import self_signed


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("words", [["--help"], ["version"], ["--version"], ["serve", "--help"], ["inspect", "--help"]])
def test_asking_for_help_or_the_version_loads_no_heavy_room(words: list[str]) -> None:
    program = (
        "import sys; from edge.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'aiohttp', 'uvloop', 'lmdb', 'asyncio', 'ssl'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")


INTERRUPTED_IMPORT = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "argparse":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_is_quiet_while_the_program_is_still_being_imported() -> None:
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, "version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_help_tells_every_verb_and_no_verb_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for verb, (_, meaning) in VERBS.items():
        assert verb in said
        assert meaning in said
    assert main([]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["sevre"])
    assert ended.value.code == 2


def test_versions_are_told_long_and_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--short"]) == 0
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == [__version__, __version__]
    assert main(["version"]) == 0
    said = capsys.readouterr().out
    assert f"edge {__version__}" in said
    assert "uvloop " in said
    assert "missing" not in said


def test_an_origin_alone_is_a_whole_configuration() -> None:
    settings = serve.settings_of(parsed("--origin", "https://origin.example/base"))
    assert settings.origin.url == "https://origin.example/base"
    assert settings.origin.host is None
    assert settings.listeners == (("server.listen", "[::]:8080", False),)
    assert settings.admin.listen == "127.0.0.1:9180"
    assert (settings.cache.dir, settings.cache.size) == ("./edge-cache", 10 * 10**9)
    assert settings.worker_count >= 1


def test_every_flag_arrives_and_wins_over_the_file(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    other_cert, other_key = self_signed(tmp_path, "other")
    config = tmp_path / "edge.toml"
    config.write_text(
        '[server]\nlisten = [":1"]\nworkers = 1\nnode = "f"\nidle_timeout = "7s"\n'
        '[admin]\nlisten = ":2"\n[cache]\ndir = "f"\nsize = "1GB"\n[origin]\nurl = "http://f"\n[log]\naccess = "f"\n'
        f'[[tls]]\ncert = "{other_cert}"\nkey = "{other_key}"\n'
    )
    words = ["--origin", "http://o", "--listen", ":80", "--listen", "[::1]:81", "--admin", ":82", "--cache-dir", "d"]
    words += ["--cache-size", "20GiB", "--workers", "3", "--tls-cert", str(cert), "--tls-key", str(key)]
    words += ["--access-log", "stdout", "--node", "n", "--config", str(config)]
    settings = serve.settings_of(parsed(*words))
    assert settings.origin.url == "http://o"
    assert settings.listeners == (("server.listen", ":80", True), ("server.listen", "[::1]:81", True))
    assert settings.admin.listen == ":82"
    assert (settings.cache.dir, settings.cache.size) == ("d", 20 * 2**30)
    assert (settings.server.workers, settings.server.node) == (3, "n")
    assert [(tls.cert, tls.key) for tls in settings.tls] == [(str(cert), str(key))]
    assert settings.log.access == "stdout"
    assert settings.server.idle_timeout == 7  # what no flag says is the file's


def test_every_flag_has_a_field() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    flags = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
    assert flags - {"--help", "--config"} == set(serve.FLAGS.values())


def test_no_origin_is_an_error_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert "say where misses are fetched: --origin URL" in capsys.readouterr().err


def test_abbreviated_flags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that says `--cache` today would mean something else when a flag is added."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--orig", "http://o"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --orig" in capsys.readouterr().err


def test_certificates_are_tried_before_anything_starts(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    other, _ = self_signed(tmp_path, "other")
    for pair in ((cert, tmp_path / "none.key"), (other, key), (tmp_path / "none.pem", key)):
        words = ["--origin", "http://o", "--tls-cert", str(pair[0]), "--tls-key", str(pair[1])]
        with pytest.raises(ConfigErrors, match=r"tls.cert = .*cannot be used"):
            serve.settings_of(parsed(*words))


def test_a_wrong_ca_or_client_certificate_of_the_origin_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('[origin]\nurl = "https://o"\nca_file = "/nowhere/ca.pem"\n')
    assert main(["check-config", str(config)]) == 1
    assert "line 3: origin.ca_file = '/nowhere/ca.pem': cannot be used" in capsys.readouterr().err
    config.write_text('[origin]\nurl = "https://o"\nclient_cert = "/nowhere/c.pem"\n')
    assert main(["check-config", str(config)]) == 1
    assert "line 3: origin.client_cert = '/nowhere/c.pem'" in capsys.readouterr().err


def test_a_good_file_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('[cache]\nsize = "3GB"\n[[site]]\nname = "films"\nhosts = ["Films.example"]\n')
    assert main(["check-config", str(config)]) == 0
    said = capsys.readouterr().out
    assert f"{config}: good" in said
    assert "http://[::]:8080" in said
    assert "3GB in ./edge-cache" in said
    assert "films (films.example)" in said
    assert "none yet: give it with --origin" in said


def test_check_config_without_a_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config"]) == 2
    assert "give a FILE" in capsys.readouterr().err
    assert main(["check-config", "/nowhere/edge.toml"]) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_inspect_tells_what_a_directory_holds_and_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = VolumeSettings(size_bytes=64 * 2**20, live_dir=tmp_path)
    volume = Volume.open(tmp_path / "c", settings, clock=SystemClock())
    volume.close()
    assert main(["inspect", str(tmp_path / "c")]) == 0
    said = capsys.readouterr().out
    assert "objects    0 (none)" in said
    assert "stopped cleanly" in said
    assert main(["inspect", str(tmp_path / "c"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["objects"], found["bytes_stored"], found["packs"], found["clean"]) == (0, 0, 0, True)
    assert main(["inspect", str(tmp_path)]) == 1
    assert "is not a cache directory" in capsys.readouterr().err


def test_the_schema_of_the_file_is_printed_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) >= {"server", "cache", "origin", "fleet", "site"}
    assert schema["additionalProperties"] is False
    assert "description" in schema["$defs"]["CacheSection"]["properties"]["size"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--version", UNREAD),
        ("version", UNREAD),
        ("check-config --help", 0),
        ("check-config /nowhere.toml", UNREAD),
        ("serve --origin nonsense://x", UNREAD),
        ("serve --nonsense", 2),
        ("nonsense", 2),
    ],
)
def test_who_reads_no_more_makes_no_exit_code_of_pythons_own(command: str, code: int) -> None:
    """Python ends with 120 where it cannot flush at its end; `edge ... 2>&1 | head` is no such failure."""
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edge", *command.split()], stdout=writing, stderr=writing, env=buffered, timeout=60
        )
    finally:
        os.close(writing)
    assert done.returncode == code
