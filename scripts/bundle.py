"""Make a bundle, which installs Facet on a machine without a network.

    make bundle
    make bundle TARGET=gpu CUDA=host PYTHON_VERSIONS="3.11 3.12" PART_MB=55

The bundle is the folder `build/bundle/TARGET`. It contains one tar file, cut into parts (the files of the
commit, the wheels, and a requirements file for each version of Python), `bundle.conf`, which describes it,
`install.sh`, and `SHA256SUMS`.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from scripts.bundle_wheels import GLIBC, PYTHONS, CannotBundle, download, requirements_for

INSTALLER = Path(__file__).with_name("bundle_install.sh")

MAX_PART_MB = 4095
"""Largest part, in MiB: FAT32 stores no larger file."""

_MACHINES = ("x86_64", "aarch64")
_ENVIRONMENT_MB = 100
"""Space for a virtual environment without packages, and for partly filled blocks of the disk."""


@dataclass(frozen=True)
class Plan:
    """What a bundle contains.

    Attributes:
        target: `cpu` or `gpu`, which is also the name of the requirements file.
        cuda: where the libraries of CUDA come from: `wheels`, `host`, or `none` for the target `cpu`.
        pythons: versions of Python that the bundle serves, such as `3.12`.
        part_mb: maximum size of a part in MiB.
        machine: architecture, as `platform.machine()` names it.
    """

    target: str
    cuda: str
    pythons: tuple[str, ...]
    part_mb: int
    machine: str

    @property
    def name(self) -> str:
        """The name of the tar file, without its ending."""
        return f"facet-{self.target}"


def plan_of(target: str, cuda: str, python_versions: str, part_mb: str) -> Plan:
    """Return the plan for the variables of `make bundle`.

    Raises:
        CannotBundle: a variable is invalid, or this system is not supported.
    """
    if target not in ("cpu", "gpu"):
        raise CannotBundle(f"TARGET is '{target}'. Use TARGET=cpu or TARGET=gpu.")
    if cuda not in ("", "host"):
        raise CannotBundle(f"CUDA is '{cuda}'. Use CUDA=host, or leave it out to include NVIDIA's wheels.")
    if cuda and target == "cpu":
        raise CannotBundle("CUDA=host is only for TARGET=gpu. Leave it out, or add TARGET=gpu.")
    if not (part_mb.isascii() and part_mb.isdigit() and 1 <= int(part_mb) <= MAX_PART_MB):
        raise CannotBundle(f"PART_MB is '{part_mb}'. Use a whole number of MiB from 1 to {MAX_PART_MB}.")
    pythons = tuple(python_versions.split()) or (f"3.{sys.version_info[1]}",)
    for python in pythons:
        if python not in PYTHONS:
            raise CannotBundle(f"PYTHON_VERSIONS has '{python}'. Facet supports {', '.join(PYTHONS)}.")
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        raise CannotBundle(
            f"A bundle is for the system on which it is made, and this is {sys.platform} on {machine}. "
            f"Make it on Linux on {' or '.join(_MACHINES)}."
        )
    source = "none" if target == "cpu" else cuda or "wheels"
    return Plan(target, source, pythons, int(part_mb), machine)


def make_bundle(plan: Plan, repository: Path, out: Path) -> None:
    """Make a bundle of the last commit. If it fails, an older bundle stays as it is.

    Args:
        plan: what the bundle contains.
        repository: a git clone of Facet.
        out: folder of the bundle, which is replaced if it exists.

    Raises:
        CannotBundle: git, pip, tar or split failed.
    """
    commit, seconds = _git(repository, "log", "-1", "--format=%H %ct").split()
    if _git(repository, "status", "--porcelain", "--untracked-files=no"):
        print("Note: the bundle has the last commit. Later changes of the working tree are not in it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".making-") as temporary:
        content, made = Path(temporary, "facet"), Path(temporary, "bundle")
        content.mkdir()
        made.mkdir()
        _extract_commit(repository, commit, content)
        installed = _add_wheels(plan, content)
        size = sum(file.stat().st_size for file in content.rglob("*") if file.is_file())
        _pack(content, made / f"{plan.name}.tar.", plan.part_mb, seconds)
        project = tomllib.loads((content / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        parts = len(list(made.iterdir()))
        needed_mb = (size + installed) // 2**20 + _ENVIRONMENT_MB
        (made / "bundle.conf").write_text(_conf(plan, project["version"], commit, (parts, needed_mb)))
        shutil.copyfile(INSTALLER, made / "install.sh")
        (made / "SHA256SUMS").write_text(_sums(made))
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)


def main(
    target: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    cuda: Annotated[
        str, typer.Option(help="host: leave out NVIDIA's wheels, because the host has CUDA.")
    ] = "",
    python_versions: Annotated[
        str, typer.Option(help="Versions of Python; by default the running one.")
    ] = "",
    part_mb: Annotated[str, typer.Option(help=f"Maximum MiB of a part, 1 to {MAX_PART_MB}.")] = "55",
    out: Annotated[Path | None, typer.Option(help="Folder; by default build/bundle/TARGET.")] = None,
) -> None:
    """Make a bundle, which installs Facet on a machine without a network."""
    try:
        plan = plan_of(target, cuda, python_versions, part_mb)
        folder = out or Path("build/bundle", plan.target)
        make_bundle(plan, Path(), folder)
    except (CannotBundle, OSError) as error:
        sys.exit(f"The bundle was not made. {error}")
    parts = [file.stat().st_size for file in folder.glob(f"{plan.name}.tar.*")]
    print(
        f"{folder} has {len(parts)} parts of at most {plan.part_mb} MiB, together {sum(parts) >> 20} MiB, "
        f"for Python {', '.join(plan.pythons)} on Linux, {plan.machine}, glibc {_glibc()} or newer.\n"
        f"sha256 of SHA256SUMS: {_sha256(folder / 'SHA256SUMS')}\n"
        "Copy the folder to the other machine. Run in it there: sh install.sh /opt/facet"
    )


def _git(repository: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotBundle("The program git is not installed. Install it.") from None
    if done.returncode:
        raise CannotBundle(f"Make it in a git clone of Facet with a commit. git: {_last(done.stderr)}")
    return done.stdout.strip()


def _extract_commit(repository: Path, commit: str, folder: Path) -> None:
    command = ["git", "archive", "--format=tar", commit]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE) as archive:
        tar = ["tar", "--extract", "--directory", str(folder)]
        done = subprocess.run(tar, stdin=archive.stdout, stderr=subprocess.PIPE, text=True)
    if archive.returncode or done.returncode:
        raise CannotBundle(f"The files of the commit cannot be written. {_last(done.stderr)}")


def _add_wheels(plan: Plan, content: Path) -> int:
    """Add the folder `wheels`.

    Returns:
        The bytes that the installed packages take, for the version of Python that needs most.
    """
    wheels = content / "wheels"
    wheels.mkdir()
    text = (content / "requirements" / f"{plan.target}.txt").read_text(encoding="utf-8")
    sizes = []
    for python in plan.pythons:
        print(f"downloading the wheels for Python {python}", flush=True)
        requirements = wheels / f"requirements-{python}.txt"
        requirements.write_text(requirements_for(text, python, cuda=plan.cuda != "host"))
        sizes.append(download(requirements, python, plan.machine, wheels))
    return max(sizes)


def _pack(content: Path, prefix: Path, part_mb: int, seconds: str) -> None:
    """Write a folder as a tar file in parts, whose names are the prefix and a number.

    The same commit gives the same parts, because order, owners, permissions and times are fixed.

    Raises:
        CannotBundle: tar or split failed.
    """
    command = [
        "tar",
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u+rw,go-w,a+rX",
    ]
    command += ["--format=gnu", f"--mtime=@{seconds}", "--directory", str(content.parent), content.name]
    split = ["split", f"--bytes={part_mb}M", "--numeric-suffixes", "--suffix-length=4", "-", str(prefix)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        done = subprocess.run(split, stdin=tar.stdout, stderr=subprocess.PIPE, text=True)
    if tar.returncode or done.returncode:
        raise CannotBundle(f"The parts cannot be written. {_last(done.stderr)}")


def _conf(plan: Plan, version: str, commit: str, sizes: tuple[int, int]) -> str:
    parts, needed_mb = sizes
    values = {
        "NAME": plan.name,
        "VERSION": version,
        "COMMIT": commit,
        "DEVICE": "cuda" if plan.target == "gpu" else "cpu",
        "CUDA": plan.cuda,
        "MACHINE": plan.machine,
        "GLIBC": _glibc(),
        "PYTHONS": f"'{' '.join(plan.pythons)}'",
        "PARTS": parts,
        "NEEDED_MB": needed_mb,
    }
    lines = [f"{name}={value}\n" for name, value in values.items()]
    return "# What this bundle contains. install.sh reads it.\n" + "".join(lines)


def _sums(folder: Path) -> str:
    """Return the lines of SHA256SUMS for the files of a folder."""
    return "".join(f"{_sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir()))


def _glibc() -> str:
    return ".".join(map(str, GLIBC))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    typer.run(main)
