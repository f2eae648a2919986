"""What an operator got wrong is told by field, value and hint, and with an exit code."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge.cli.main import main
from tests.support.addresses import free_address


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["top", "--interval", "potato"], "argument --interval: 'potato': write a number from 0.1 to 3600"),
        (["top", "--interval", "nan"], "argument --interval: 'nan': write a number"),
        (["top", "--count", "0"], "argument --count: '0': write a whole number from 1 to 1000"),
        (["top", "--frames", "1.5"], "argument --frames: '1.5': write a whole number"),
        (["top", "--once", "--frames", "2"], "not allowed with"),
        (["warm", "--mbit=-3", "http://a/b"], "argument --mbit: '-3': write a number from 0 to"),
        (["warm", "--parallel", "99", "http://a/b"], "argument --parallel: '99': write a whole number from 1 to 16"),
        (["purge", "--wait-most", "1e9", "http://a/b"], "argument --wait-most: '1e9': write a number from 0 to 600"),
        (["reload", "--wait", "x"], "argument --wait: 'x': write a number"),
        (["upgrade", "--wait", "x"], "argument --wait: 'x': write a number"),
    ],
)
def test_a_number_that_is_none_is_told_with_its_bounds(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.fixture
def of_nobody(tmp_path: Path) -> list[str]:
    """A cache directory whose server has gone without a word."""
    (tmp_path / "control").write_text(str(tmp_path / "gone.sock"))
    return ["--cache-dir", str(tmp_path)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["purge", "--list", "/nix"], "--list '/nix': cannot be read: No such file or directory"),
        (["warm", "--list", "/nix"], "--list '/nix': cannot be read: No such file or directory"),
        (["stats", "--token-file", "/nix"], "--token-file '/nix': cannot be read: No such file or directory"),
        (["stats"], "gone.sock: the server cannot be reached: No such file or directory"),
    ],
)
def test_a_file_or_server_that_is_not_there_is_named(
    words: list[str], told: str, of_nobody: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *of_nobody]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["stats", "top"])
def test_an_address_where_nobody_listens_is_told_with_the_one_that_is_meant(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--admin", free_address()]) == 1
    said = capsys.readouterr().err
    assert ": the server cannot be reached: " in said
    assert "its admin listener, host:9180" in said


class Another(BaseHTTPRequestHandler):
    """The players' port, or somebody else's server."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def another() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Another)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("verb", ["stats", "top"])
def test_an_address_where_something_else_answers_is_told(
    verb: str, another: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--admin", another]) == 1
    assert "what answers there (404) is not an edge's admin listener" in capsys.readouterr().err
