import ast
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import logs

log = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Stuck(io.StringIO):
    """A pipe that nobody reads: writing to it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = threading.Event()

    def write(self, text: str) -> int:
        self.reader.wait(30)
        return super().write(text)


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_is_json_with_the_request_s_id() -> None:
    out = io.StringIO()
    logs.start("info", "json", out)
    token = logs.REQUEST_ID.set("abc")
    log.info("done in %d ms", 3, extra={"status": 200})
    logs.REQUEST_ID.reset(token)
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        log.exception("failed")
    log.debug("not asked for")
    logs.flush()
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "logger": "tests.logs",
        "message": "done in 3 ms",
        "request_id": "abc",
        "status": 200,
    }
    assert second["request_id"] is None
    assert "ZeroDivisionError: no" in second["exception"]


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "ä 漢"])
def test_a_message_cannot_forge_a_line(text: str) -> None:
    out = io.StringIO()
    logs.start("info", "json", out)
    log.info(text)
    logs.flush()
    assert json.loads(out.getvalue())["message"] == text
    assert "\x1b" not in out.getvalue()


def test_plain_text_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    logs.start("info", "auto", out)
    log.info("json")
    logs.flush()
    monkeypatch.setattr(out, "isatty", lambda: True)
    logs.start("info", "auto", out)
    log.info("text")
    logs.flush()
    first, second = out.getvalue().splitlines()
    assert json.loads(first)["message"] == "json"
    assert second == "INFO:     text"


def test_a_pipe_that_nobody_reads_holds_nothing_up() -> None:
    out = Stuck()
    logs.start("info", "json", out, queue_size=5)
    start = time.monotonic()
    for _ in range(50):
        log.info("x")
    assert time.monotonic() - start < 1
    assert 43 <= logs.dropped() <= 45  # one is being written, five wait
    logs.flush(0.05)
    assert time.monotonic() - start < 2
    out.reader.set()
    logs.flush()
    assert len(out.getvalue().splitlines()) == 50 - logs.dropped()


def test_a_full_disk_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start("info", "json", Full())
    log.info("x")
    logs.flush()
    log.info("y")
    logs.flush()
    assert logs.dropped() == 2
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_service_whose_log_has_no_room_answers() -> None:
    program = (
        "import re\n"
        "from app import logs\n"
        "from app.main import create_app\n"
        "from app.settings import Settings\n"
        "from tests.fakes import fake_analyzer\n"
        "from tests.servers import http, serving\n"
        "logs.start('info', 'json')\n"
        "with serving(create_app(Settings(), fake_analyzer())) as url:\n"
        "    for _ in range(20):\n"
        "        assert http.get(url + '/nowhere').status_code == 404\n"
        "    logs.flush()\n"
        "    (line,) = re.findall(r'^face_log_dropped_total (.*)$', http.get(url + '/metrics').text, re.M)\n"
        "    assert float(line) >= 20\n"
        "print('answered')\n"
    )
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, text=True, timeout=240
        )
    assert run.stdout == "answered\n"


def test_what_was_logged_last_is_written_when_the_process_ends() -> None:
    program = (
        "import logging, time\n"
        "from app import logs\n"
        "logs.start('info', 'text')\n"
        "for i in range(500): logging.info('line %d', i)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=240)
    assert run.stderr.splitlines()[-1] == "INFO:     line 499"


def test_no_clock_that_can_be_set_measures_time() -> None:
    """`time.time` and `datetime.now` jump when the machine's clock is set: no wait may depend on them.

    The gallery's clock tells when something was stored, and whether it has expired. Spans have times of day.
    """
    for path in set(Path("app").rglob("*.py")) - {
        Path("app/gallery/clock.py"),
        Path("app/runtime/tracing.py"),
    }:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A file may say when it was made: the argument `created` of its content is not a wait.
        stamps = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "created"]
        allowed = {id(part) for stamp in stamps for part in ast.walk(stamp)}
        for node in ast.walk(tree):
            if id(node) in allowed:
                continue
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named = f"{node.value.id}.{node.attr}"
                assert named not in {"time.time", "datetime.now", "datetime.utcnow", "time.time_ns"}, path


def test_the_environment_is_not_logged_at_the_start() -> None:
    secret = "a-key-of-some-length"
    run = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", "0", "--device", "tensorrt:9"],
        env={**os.environ, "FACE_API_KEYS": secret},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 1
    assert "tensorrt" in run.stderr
    assert secret not in run.stderr + run.stdout
