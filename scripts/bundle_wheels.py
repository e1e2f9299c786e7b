"""The wheels of a bundle: the requirements for a version of Python, and their download with pip."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

PYTHONS = ("3.11", "3.12", "3.13")
"""The versions of Python that Facet supports."""

GLIBC = (2, 28)
"""The oldest glibc that a bundle serves, that of Debian 10 and RHEL 8. All pinned wheels support it."""

_OLDEST_GLIBC = (2, 17)
"""Wheels are not named after older versions; those for 2.17 may be named `manylinux2014`."""

_NOT_CUDA = ("nvidia-ml-py",)
"""Packages whose names begin with `nvidia-` and that contain no library of CUDA."""


class CannotBundle(Exception):
    """A bundle cannot be made, for a reason that the message names."""


def requirements_for(text: str, python: str, *, cuda: bool = True) -> str:
    """Return the part of a hashed requirements file that one version of Python needs on Linux.

    pip evaluates markers for the running Python only, even when it downloads for another version.

    Args:
        text: a file of `requirements/`.
        python: version of Python, such as `3.12`.
        cuda: whether to keep the wheels with the libraries of CUDA and cuDNN.
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    blocks = re.split(r"\n(?=\S)", text.strip())
    kept = []
    for block in blocks:
        requirement = Requirement(block.partition("\\\n")[0])
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        if cuda or not requirement.name.startswith("nvidia-") or requirement.name in _NOT_CUDA:
            kept.append(f"{str(requirement).partition(';')[0].strip()} \\\n{block.partition(chr(10))[2]}\n")
    return "".join(kept)


def platforms(machine: str) -> list[str]:
    """Return the platform tags of wheels for Linux with glibc, those for the newest glibc first."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[1], _OLDEST_GLIBC[1] - 1, -1)]
    return [*tags, f"manylinux2014_{machine}"]


def download(requirements: Path, python: str, machine: str, folder: Path) -> int:
    """Download the wheels of a requirements file, check their hashes, and add them to a folder.

    Args:
        requirements: requirements with hashes and without markers.
        python: version of Python, such as `3.12`.
        machine: architecture, as `platform.machine()` names it.
        folder: folder for the wheels of all versions of Python.

    Returns:
        The number of bytes that the installed wheels take. Bytecode counts as much as its sources.

    Raises:
        CannotBundle: a wheel cannot be downloaded, does not exist for the platform, or has another hash.
    """
    own = folder / python
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for tag in platforms(machine):
        command += ["--platform", tag]
    done = subprocess.run([*command, "--dest", own, "-r", requirements], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = (errors or done.stderr.splitlines() or ["pip failed."])[-1].removeprefix("ERROR: ").strip()
        raise CannotBundle(
            f"The wheels for Python {python} on {machine} cannot be downloaded: {reason.rstrip('.')}. "
            "Check the network, and which package index pip is configured for (pip config list)."
        )
    size = 0
    for wheel in own.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                size += entry.file_size * (2 if entry.filename.endswith(".py") else 1)
        wheel.replace(folder / wheel.name)
    own.rmdir()
    return size
