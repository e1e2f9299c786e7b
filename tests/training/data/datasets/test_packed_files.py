"""Plain files, archives and their damage."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from training.data.datasets import packed_files
from training.data.datasets.label_text import BadLabelFile

CONTENT = b"a,b\n" + bytes(range(48, 58)) * 200


def zipped(*names: str, content: bytes = CONTENT) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return out.getvalue()


def encrypted(archive: bytes) -> bytes:
    """Set the flag of encryption in both headers of the first member."""
    out = bytearray(archive)
    out[out.index(b"PK\x03\x04") + 6] |= 1
    out[out.index(b"PK\x01\x02") + 8] |= 1
    return bytes(out)


def changed(archive: bytes) -> bytes:
    """Store the content uncompressed, with another checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as stored:
        stored.writestr("table.csv", CONTENT)
    return out.getvalue().replace(b"0123", b"9123", 1)


def text_alone(value: object) -> str | None:
    """Return the part of a test's name: archives hold the time, which differs between test processes."""
    return None if isinstance(value, str) else "content"


def read(folder: Path) -> bytes:
    with packed_files.open_packed(packed_files.find(folder, "table"), "table") as stream:
        return stream.read()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", CONTENT),
        ("TABLE.CSV", CONTENT),
        ("Table.csv", CONTENT),
        ("table.zip", zipped("table.csv")),
        ("table.ZIP", zipped("TABLE.CSV")),
        ("table.csv.zip", zipped("table.csv")),
        ("table.zip", zipped("folder/inner/table.csv")),
        ("table.zip", zipped("folder\\table.csv")),
        ("table.zip", zipped("other.csv", "table.csv", "tables.csv")),
        ("table.zip", zipped("__MACOSX/._table.csv", "table.csv")),
        ("table.zip", zipped("__MACOSX/f/._table.csv", "__MACOSX/table.csv", "f/._table.csv", "f/table.csv")),
        ("table.csv.gz", gzip.compress(CONTENT)),
        ("table.gz", gzip.compress(CONTENT)),
        ("table.csv", gzip.compress(CONTENT)),
        ("table.csv", zipped("table.csv")),
    ],
    ids=text_alone,
)
def test_plain_and_packed_files_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path) == CONTENT


def test_the_plain_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(CONTENT)
    (tmp_path / "table.zip").write_bytes(b"damaged")
    assert read(tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table.zip", zipped("table.csv")[:60], "damaged or incomplete"),
        ("table.zip", changed(zipped("table.csv")), "Bad CRC-32"),
        ("table.zip", encrypted(zipped("table.csv")), "table.csv is encrypted"),
        ("table.zip", b"<html>", "This is no archive"),
        ("table.zip", b"", "This is no archive"),
        ("table.zip", zipped(), "does not hold table.csv. It holds: nothing"),
        ("table.zip", zipped("other.csv"), "does not hold table.csv. It holds: other.csv"),
        ("table.zip", zipped("a/table.csv", "b/table.csv"), "several times: a/table.csv, b/table.csv"),
        ("table.csv.gz", gzip.compress(CONTENT)[:40], "damaged or incomplete"),
        ("table.csv.gz", b"<html>", "This is no archive"),
    ],
    ids=text_alone,
)
def test_an_unusable_archive_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadLabelFile) as raised:
        read(tmp_path)
    assert str(raised.value).startswith(str(tmp_path / name))
    assert message in str(raised.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        read(tmp_path / "none")
    (tmp_path / "other.csv").write_bytes(CONTENT)
    with pytest.raises(FileNotFoundError, match=r"neither table.csv nor table.zip. It holds: other.csv"):
        read(tmp_path)
    with pytest.raises(BadLabelFile, match=r"other.csv: This is a file. A folder"):
        read(tmp_path / "other.csv")
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(BadLabelFile, match=r"table.csv: This is a folder"):
        read(tmp_path)


def test_names_that_differ_in_case_alone_are_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "Table.csv").write_bytes(CONTENT)
    (tmp_path / "TABLE.csv").write_bytes(CONTENT)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("the file system does not distinguish case")
    with pytest.raises(BadLabelFile, match=r"TABLE.csv and Table.csv differ in case alone"):
        read(tmp_path)
    (tmp_path / "table.csv").write_bytes(CONTENT)
    assert read(tmp_path) == CONTENT
