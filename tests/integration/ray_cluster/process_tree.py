"""The processes that a process has started, and the addresses on which they listen."""

import os
from contextlib import suppress
from pathlib import Path

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as an IPv6 address, and ::1, as the kernel writes them."""


def descendants(ancestor: int) -> set[int]:
    """Return the ids of a process and of all that it started, as far as they run."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = set()
    for pid in parents:
        older = pid
        while older in parents and older != ancestor:
            older = parents[older]
        if older == ancestor:
            found.add(pid)
    return found


def listening(processes: set[int]) -> set[str]:
    """Return the addresses on which processes listen, as the kernel writes them."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                addresses[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    found = set()
    for pid in processes:
        with suppress(OSError):
            found |= {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}
    return {addresses[one] for one in found & addresses.keys()}


def running(processes: set[int]) -> dict[int, str]:
    """Return the command, without arguments, of each of these processes that has not ended."""
    found = {}
    for pid in processes:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
    return found
