"""Start the service where it should refuse to: misspelt settings, limits, addresses and manifests.

Each value is the exit status and the number of lines that the start writes, with the last one; or it says
that the service serves. The limit on processes needs root and setpriv.
"""

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.service import Service, wait_until

_AS_USER = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
)
"""A user of its own without privileges but to read the files: the limit counts the threads of a user."""

_TAKE_PORT = """
import socket, subprocess, sys
with socket.create_server(("127.0.0.1", int(sys.argv[-1]))):
    sys.exit(subprocess.call(sys.argv[1:]))
"""
"""Listens on the port of the command that it runs, which has it as the last argument."""

_KEY = {"FACE_API_KEYS": "a-key-of-some-length"}
"""Without a key, the start warns about an address that is not a loopback one."""

_TIMEOUT_S = 15.0
_SHOWN = 160


def run(service: Service) -> list[tuple[str, str]]:
    """Return what each start does."""
    rows = []
    for variable in ("FACE_API_KEY", "FACE_APIKEYS"):
        rows.append((f"{variable}=...", _start(service, variables={variable: "a-key-of-some-length"})))
    for limit in (3, 8, 15):
        prefix = (*_AS_USER, "prlimit", f"--nproc={limit}:{limit}")
        if os.getuid() == 0 and shutil.which("setpriv"):
            rows.append((f"{limit} threads allowed", _start(service, prefix=prefix)))
    rows.append(("64 file descriptors allowed", _start(service, prefix=("prlimit", "--nofile=64:64"))))
    for workers in (1, 2):
        note = f", {workers} workers" if workers > 1 else ""
        for host in ("nowhere.invalid", "203.0.113.1", "[::1]"):
            must_fail = host != "[::1]"
            value = _start(service, must_fail, host=host, workers=workers, variables=_KEY)
            rows.append((f"address {host}{note}", value))
        value = _start(service, prefix=(sys.executable, "-c", _TAKE_PORT), workers=workers)
        rows.append((f"port in use{note}", value))
    rows.append(("model listed twice", _start_with_manifest(service, _twice)))
    rows.append(("file ../../etc/hostname", _start_with_manifest(service, _outside)))
    return rows


def _twice(manifest: Any) -> None:
    manifest["models"].append(manifest["models"][0])


def _outside(manifest: Any) -> None:
    manifest["models"][0]["files"][0]["file"] = "../../../../../../etc/hostname"


def _start(service: Service, must_fail: bool = True, **options: Any) -> str:
    """Return a description of how a start of the service ends."""
    ready = False
    with service.start(wait=False, **options) as running:

        def settled() -> bool:
            nonlocal ready
            ready = _is_ready(running.url, options.get("host", "127.0.0.1"))
            return ready or running.process.poll() is not None

        wait_until(settled, _TIMEOUT_S)
        status, log = running.process.poll(), running.log
    if status is None:
        value = "serves" if ready else f"runs after {_TIMEOUT_S:g} s and is not ready"
    else:
        last = re.sub(r"[\w:.+-]*\d{4}-\d\d-\d\d\S*", "", log[-1] if log else "")
        value = f"status {status}, {len(log)} lines: {last[:_SHOWN]}"
    service.require((status is not None and len(log) == 1) if must_fail else ready, value)
    return value


def _is_ready(url: str, host: str) -> bool:
    address = (host.strip("[]"), int(url.rpartition(":")[2]))
    try:
        with socket.create_connection(address, 5) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in client.recv(100)
    except OSError:
        return False


def _start_with_manifest(service: Service, change: Callable[[Any], None]) -> str:
    source = service.checkout / "models"
    with tempfile.TemporaryDirectory() as folder:
        for path in source.glob("*.onnx"):
            (Path(folder) / path.name).symlink_to(path.resolve())
        manifest = json.loads((source / "manifest.json").read_text())
        change(manifest)
        (Path(folder) / "manifest.json").write_text(json.dumps(manifest))
        return _start(service, models_dir=folder).replace(folder, "models")
