"""What the server says of itself, on a console and as JSON."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.observe.events import LIFE, EventFormat, listen


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    kept = [(each, each.handlers, each.level, each.propagate) for each in map(logging.getLogger, (None, LIFE))]
    yield
    for logger, handlers, level, propagate in kept:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_on_a_console_a_line_of_life_is_written_as_it_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    listen(EventFormat.CONSOLE, "supervisor")
    logging.getLogger(LIFE).info("%s", "ready: 100 %s of it")
    assert capsys.readouterr() == ("ready: 100 %s of it\n", "")


def test_on_a_console_an_error_has_its_time_level_process_and_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    listen(EventFormat.CONSOLE, "worker 1")
    try:
        raise ValueError("spilt milk")
    except ValueError:
        logging.getLogger("edge.store").exception("store: %s", "failed")
    out, said = capsys.readouterr()
    first, *rest = said.splitlines()
    assert first[:2] == "20"
    for part in ("[error", "store: failed", "[edge.store]", "process='worker 1'"):
        assert part in first
    assert rest[-1] == "ValueError: spilt milk"
    assert out == ""


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_as_json_every_line_is_an_object_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    listen(EventFormat.JSON, "keeper 0")
    logging.getLogger(LIFE).info("%s", 'say "x"\n\x1b[31m')
    try:
        raise OSError(28, "No space left on device")
    except OSError:
        logging.getLogger("edge.store").exception("store: %s", "failed")
    out, said = (json_lines(text) for text in capsys.readouterr())
    (life,), (error,) = out, said
    assert life["event"] == 'say "x"\n\x1b[31m'
    assert (life["level"], life["process"], life["logger"]) == ("info", "keeper 0", LIFE)
    assert life["ts"].endswith("Z")
    assert error["event"] == "store: failed"
    assert "No space left" in error["exception"]


def test_below_the_level_nothing_is_written_but_lines_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    listen(EventFormat.JSON, "supervisor", "error")
    logging.getLogger("edge.server").warning("quiet")
    logging.getLogger("edge.server").error("loud")
    logging.getLogger(LIFE).info("ready")
    out, said = (json_lines(text) for text in capsys.readouterr())
    assert [line["event"] for line in said] == ["loud"]
    assert [line["event"] for line in out] == ["ready"]


def test_listening_again_changes_the_format_and_doubles_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listen(EventFormat.JSON, "supervisor")
    listen(EventFormat.CONSOLE, "supervisor")
    logging.getLogger(LIFE).info("ready")
    assert capsys.readouterr().out == "ready\n"


def test_a_reader_that_has_gone_away_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = (
        "import logging\n"
        "from edge.observe.events import LIFE, EventFormat, listen\n"
        "listen(EventFormat.CONSOLE, 'supervisor')\n"
        "logging.getLogger(LIFE).info('ready')\n"
        "import os; os._exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (7, b"")


def test_who_says_nothing_does_not_pay_for_structlog() -> None:
    code = (
        "import sys\n"
        "from edge.observe.events import EventFormat, listen\n"
        "listen(EventFormat.JSON, 'worker 0')\n"
        "sys.exit('structlog' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as it usually is


def speaker(form: EventFormat, stdout: int) -> subprocess.Popen[str]:
    """A program that says each line it reads, and something worse at the end."""
    program = f"""
import logging, sys
from edge.observe.events import LIFE, EventFormat, listen
listen(EventFormat({form.value!r}), "supervisor")
for line in iter(sys.stdin.readline, ""):
    logging.getLogger(LIFE).info(line.strip())
    sys.stderr.write("said\\n")
logging.getLogger("edge.store").error("and an error")
sys.exit(3)
"""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, stdin=pipe, stdout=stdout, stderr=pipe, text=True, env=BUFFERED)


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    while process.stderr.readline() != "said\n":
        pass


@pytest.mark.parametrize("form", EventFormat)
def test_a_reader_that_has_gone_changes_nothing_of_the_exit_code(form: EventFormat) -> None:
    """What is left in a buffer that nobody reads makes Python end with 120."""
    reading, writing = os.pipe()
    with speaker(form, writing) as process:
        os.close(writing)
        os.close(reading)
        say(process, "stopping")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 3


def test_a_full_disk_changes_nothing_of_the_exit_code() -> None:
    with open("/dev/full", "w") as full, speaker(EventFormat.CONSOLE, full.fileno()) as process:
        say(process, "stopping")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 3


def test_a_collector_that_comes_back_reads_on(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    with speaker(EventFormat.CONSOLE, writing) as process:
        os.close(writing)
        say(process, "one")
        assert os.read(reading, 100) == b"one\n"
        os.close(reading)
        say(process, "two, which nobody reads")
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        say(process, "three")
        assert os.read(reading, 100).endswith(b"three\n")
        assert process.stdin is not None
        process.stdin.close()
    os.close(reading)
