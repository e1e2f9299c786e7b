"""Servers that run as processes of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx

from tests.servers import http, until

EXAMPLE = Path("app/api/console/example.jpg").read_bytes()

SERVE = ("-m", "app", "serve", "--port", "0", "--device", "cpu")

SLOW = """
import sys, time
from app.main import create_app
from app.settings import Settings
from app import server
from tests.fakes import fake_analyzer

calls = []

def slow():
    calls.append(1)
    if len(calls) > 1:  # the first is the warm-up
        time.sleep(float(sys.argv[1]))

settings = Settings(port=0)
server.log_to_stderr(settings)
sys.exit(server.serve(settings, lambda chosen: create_app(chosen, fake_analyzer(slow))))
"""
"""A program that serves fake nets; each detection takes the number of seconds in its first argument."""


@contextmanager
def process(*command: str, **settings: object) -> Iterator[tuple["subprocess.Popen[str]", str, list[str]]]:
    """Start a server with these settings; yield it, the address it listens on, and the lines of its log."""
    variables = {f"FACE_{name}".upper(): str(value) for name, value in settings.items()}
    running = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []

    def log() -> None:
        assert running.stderr is not None
        lines.extend(iter(running.stderr.readline, ""))

    reader = Thread(target=log, daemon=True)
    reader.start()
    try:
        until(lambda: address(lines) or running.poll() is not None, 120)
        yield running, address(lines), lines
    finally:
        running.kill()
        running.wait()
        reader.join(30)
        if running.stderr is not None:
            running.stderr.close()


def address(lines: list[str]) -> str:
    """Return the address that the log names, or an empty text."""
    found = re.search(r"http://127\.0\.0\.1:\d+", "".join(lines))
    return found.group() if found else ""


def is_ready(url: str) -> bool:
    """Return whether the service is ready."""
    try:
        return http.get(f"{url}/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def metric(client: httpx.Client, name: str) -> float:
    """Return the value of a metric without labels; 0 if it is missing."""
    found = re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0
