"""Run Facet in a network namespace that has only loopback, and report what it tried to send.

`run` starts this file again inside `unshare -rn`; there `main` performs the scenario and prints a report.
"""

import fcntl
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

PHOTO = Path("tests/photos/obama2.jpg")

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41
_DNS = 53
_QUIET_S = 3
_COUNTERS = ("Ip OutNoRoutes", "Ip6OutNoRoutes", "Udp OutDatagrams", "Udp6OutDatagrams")

_PROGRAM = """
import contextlib, socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as outward, contextlib.suppress(OSError):
        outward.connect(("192.0.2.1", 443))
"""

_ADDRESS = re.compile(
    r"sa_family=AF_INET6?,.*?htons\((?P<port>\d+)\).*?"
    r"(?:inet_addr\(\"(?P<v4>[^\"]+)\"\)|inet_pton\(AF_INET6, \"(?P<v6>[^\"]+)\")"
)


@dataclass(frozen=True)
class Report:
    """What one scenario did.

    Attributes:
        faces: the number of faces in the answer.
        counters: the namespace's counters of packets without a route and of UDP datagrams.
        addresses: outward addresses and ports of DNS that were used, if strace is installed; otherwise empty.
        home: files that were written under HOME.
    """

    faces: int
    counters: dict[str, int]
    addresses: list[str]
    home: list[str]


def why_not() -> str | None:
    """Return why this machine cannot run scenarios, or None."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    done = subprocess.run(["unshare", "-rn", "true"], capture_output=True, text=True)
    return f"user namespaces are not allowed: {done.stderr.strip()}" if done.returncode else None


def run(scenario: str, folder: Path, **variables: str) -> Report:
    """Run a scenario and return its report.

    Args:
        scenario: `serve`, `detect` or `bulk`, the command of Facet that is run; or `connect`, a program that
            tries to reach another machine, to show that this is noticed; or `install`, which installs the
            bundle in the variable BUNDLE into the variable FOLDER, and runs `serve` of this installation.
        folder: an empty folder for HOME and the trace.
        variables: environment variables, in addition to the few that Python needs. Others could decide what
            ONNX Runtime does: it reports nothing where CI is set.
    """
    home, trace = folder / "home", folder / "trace"
    home.mkdir()
    kept = re.compile(r"PATH$|LANG$|LC_|TMPDIR$|LD_LIBRARY_PATH$|OPENBLAS_|PYTHON")
    environment = {name: value for name, value in os.environ.items() if kept.match(name)}
    command = ["unshare", "-rn", sys.executable, str(Path(__file__)), scenario, str(trace)]
    done = subprocess.run(
        command,
        env={**environment, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    text = trace.read_text() if trace.exists() else ""
    files = [str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()]
    return Report(found["faces"], found["counters"], _outward(text), files)


def _outward(trace: str) -> list[str]:
    """Return the addresses that leave the machine, and those of DNS, in the output of strace."""
    found = []
    for match in _ADDRESS.finditer(trace):
        address, port = match["v4"] or match["v6"], int(match["port"])
        place = ipaddress.ip_address(address)
        mapped = place.ipv4_mapped if isinstance(place, ipaddress.IPv6Address) else None
        if not (mapped or place).is_loopback or port == _DNS:
            found.append(f"{address} port {port}")
    return found


def main(scenario: str, trace: str) -> None:
    """Perform the scenario and print the number of faces and the counters as JSON."""
    _bring_loopback_up()
    python = [sys.executable]
    if shutil.which("strace"):
        python = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=connect,sendto,sendmsg", sys.executable]
    scenarios = {
        "serve": lambda: _serve([*python, "-m", "app"]),
        "detect": lambda: _detect(python),
        "bulk": lambda: _bulk(python),
        "connect": lambda: _connect(python),
        "install": lambda: _install(python[:-1]),
    }
    faces = scenarios[scenario]()
    sys.stdout.write(json.dumps({"faces": faces, "counters": _counters()}))


def _connect(python: list[str]) -> int:
    subprocess.run([*python, "-c", _PROGRAM], check=True)
    return 0


def _detect(python: list[str]) -> int:
    command = [*python, "-m", "app", "detect", str(PHOTO)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return len(json.loads(done.stdout)["faces"])


def _bulk(python: list[str]) -> int:
    from pyarrow import parquet  # only the environment with Ray has it

    with tempfile.TemporaryDirectory() as output:
        subprocess.run([*python, "-m", "app", "bulk", str(PHOTO), output, "--task", "detect"], check=True)
        (results,) = Path(output).glob("part-*")
        return len(parquet.read_table(results)["faces"][0])


def _install(tracer: list[str]) -> int:
    folder = os.environ["FOLDER"]
    installer = ["sh", f"{os.environ['BUNDLE']}/install.sh", folder]
    subprocess.run([*tracer, *installer], check=True, stdout=sys.stderr)
    return _serve([*tracer, f"{folder}/facet"])


def _serve(facet: list[str]) -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    port = url.rpartition(":")[2]
    command = [*facet, "serve", "--port", port]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        _wait_for(f"{url}/readyz", process)
        request = urllib.request.Request(f"{url}/detect", PHOTO.read_bytes(), {"Content-Type": "image/jpeg"})
        with urllib.request.urlopen(request, timeout=60) as response:
            faces = len(json.load(response)["faces"])
        time.sleep(_QUIET_S)
        return faces
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not become ready")


def _bring_loopback_up() -> None:
    request = struct.pack("16sH14s", b"lo", _UP_AND_RUNNING, b"")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def _counters() -> dict[str, int]:
    """Return the namespace's counters; those of IPv6 are missing where the kernel has no IPv6."""
    counters: dict[str, int] = {}
    lines = Path("/proc/net/snmp").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, *fields = names.split()
        counters.update(
            (f"{protocol.removesuffix(':')} {field}", int(value))
            for field, value in zip(fields, values.split()[1:], strict=True)
        )
    six = Path("/proc/net/snmp6")
    for line in six.read_text().splitlines() if six.exists() else []:
        name, value = line.split()
        counters[name] = int(value)
    return {name: counters[name] for name in _COUNTERS if name in counters}


if __name__ == "__main__":
    main(*sys.argv[1:])
