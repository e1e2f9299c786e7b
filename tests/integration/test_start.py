"""A start that the system does not allow ends with one line that names the limit and the setting."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import is_ready, process
from tests.servers import until

pytestmark = pytest.mark.integration

# A user of its own, because the limit counts all threads of a user, and root has none. It may read all files.
AS_USER = (
    "setpriv --reuid=12345 --regid=12345 --clear-groups --inh-caps=-all,+dac_override "
    "--ambient-caps=-all,+dac_override"
)


def start(*prefix: str, arguments: tuple[str, ...] = (), **settings: object) -> tuple[int, str]:
    """Run a service that cannot start; return its status and its last line."""
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "app", "serve", "--port", "0", "--device", "cpu", *arguments],
        env={**os.environ, "FACE_LOG_FORMAT": "text", "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    refusals = [line for line in done.stderr.splitlines() if "cannot start" in line]
    assert len(refusals) == 1, done.stderr
    return done.returncode, refusals[0]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", [1, 2, 3, 8, 20])
def test_a_limit_on_processes(limit: int, workers: int) -> None:
    status, line = start(*AS_USER.split(), "prlimit", f"--nproc={limit}:{limit}", workers=workers)
    assert status == 1
    assert re.fullmatch(r"facet: cannot start: Facet needs \d+ more threads, but the system allows .*", line)
    assert "FACE_THREADS" in line


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_the_number_of_threads_that_is_asked_for_is_enough() -> None:
    _, line = start(*AS_USER.split(), "prlimit", "--nproc=8:8")
    found = re.search(r"needs (\d+) more threads", line)
    assert found is not None
    limit = int(found[1]) + 2  # the main thread and that of the log
    command = [*AS_USER.split(), "prlimit", f"--nproc={limit}:{limit}", sys.executable, "-m", "app", "serve"]
    with process("-c", f"import os, sys; os.execvp({command[0]!r}, {command!r})", port=0, device="cpu") as (
        running,
        url,
        lines,
    ):
        until(lambda: is_ready(url) or running.poll() is not None)
        image = Path("tests/photos/obama.jpg").read_bytes()
        with httpx.Client(base_url=url, timeout=60) as client:
            assert all(client.post("/embed", files={"image": image}).status_code == 200 for _ in range(3))
            assert client.get("/metrics").status_code == 200
        running.terminate()
        assert running.wait(30) == 0, lines


def test_a_hard_limit_on_file_descriptors() -> None:
    status, line = start("prlimit", "--nofile=700:700")
    assert status == 1
    assert line.startswith("facet: cannot start: FACE_MAX_CONNECTIONS=512 needs ")
    found = re.search(r"may open only 700\. .* or set FACE_MAX_CONNECTIONS=(\d+) or lower", line)
    assert found is not None
    status, line = start("prlimit", "--nofile=700:700", max_connections=int(found[1]), models="nobody")
    assert "nobody" in line


def test_a_soft_limit_on_file_descriptors_is_raised() -> None:
    command = ["prlimit", "--nofile=128:4096", sys.executable, "-m", "app", "serve"]
    program = f"import os; os.execvp({command[0]!r}, {command!r})"
    with process("-c", program, port=0, device="cpu", models="cascade", log_format="text") as (_, url, lines):
        until(lambda: is_ready(url))
        assert [line for line in lines if "raised from 128 to" in line and "FACE_MAX_CONNECTIONS=512" in line]
        connections = [socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0)) for _ in range(400)]
        assert is_ready(url)
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use(taken: int, workers: int) -> None:
    status, line = start(arguments=("--port", str(taken)), workers=workers)
    assert status == 1
    assert line.startswith(f"facet: cannot start: Port {taken} of 127.0.0.1 is in use by another program.")
    assert "FACE_PORT or --port" in line


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("host", ["203.0.113.1", "nowhere.invalid"])
def test_a_host_that_is_not_of_this_machine(host: str, workers: int) -> None:
    status, line = start(host=host, workers=workers)
    assert status == 1
    assert line.startswith(f"facet: cannot start: The service cannot listen on '{host}': ")
    assert "FACE_HOST or --host" in line


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this machine has no IPv6")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_an_ipv6_address_may_have_brackets(host: str, workers: int) -> None:
    settings = {"host": host, "workers": workers, "models": "cascade", "port": 0, "device": "cpu"}
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve"],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        lines = iter(running.stderr.readline, "")
        url = next(found[0] for line in lines if (found := re.search(r"http://\[::1\]:\d+", line)))
        until(lambda: is_ready(url), 30)
        running.terminate()
        running.stderr.read()
        assert running.wait(30) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_log_lines_that_cannot_be_written_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--device", "cpu"]
        running = subprocess.Popen(command, stderr=full, env={**os.environ, "FACE_MODELS": "cascade"})
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: is_ready(url), 60)
        for _ in range(30):
            httpx.get(f"{url}/nowhere")
        text = httpx.get(f"{url}/metrics").text
        found = re.search(r"^face_log_dropped_total (\S+)$", text, re.MULTILINE)
        assert found is not None
        assert float(found[1]) >= 30
        running.terminate()
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()
