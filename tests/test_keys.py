import os
from pathlib import Path

import pytest

from app.keys import AcceptedKeys, KeyFile, parse_keys

ONE, TWO, THREE = (f"key-number-{i}-of-some-length" for i in range(3))
HASH = "#key-that-begins-with-a-hash"


def test_commas_separate_keys() -> None:
    assert parse_keys(f" {ONE},{TWO} ,, {THREE}\n") == {ONE, TWO, THREE}


def test_a_setting_has_no_comments() -> None:
    assert parse_keys(HASH) == {HASH}
    assert parse_keys(f"{ONE},{HASH}") == {ONE, HASH}


@pytest.mark.parametrize("text", ["", ",", " ", " , ,", "\n"])
def test_a_setting_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="contains no API key"):
        parse_keys(text)


@pytest.mark.parametrize(
    "key", ["short", "with a space inside", "über-sixteen-characters", "tab\tulated-key-16", "#short"]
)
def test_an_invalid_key_is_named_by_its_place(key: str) -> None:
    with pytest.raises(ValueError, match=r"^Key 2 is invalid: a key must have 16") as caught:
        parse_keys(f"{ONE},{key}")
    assert key not in str(caught.value)


def test_a_file_has_a_key_on_each_line_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# a comment of some length\n\n{ONE}\n  {TWO}  \n{HASH}\n")
    read = KeyFile.read(path)
    assert read.path == path
    assert read.keys == {ONE, TWO}
    assert ONE not in repr(read)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "contains no API key. A line that begins with # is a comment"),
        (b" \n\n", "contains no API key"),
        (HASH.encode(), "contains no API key"),
        (b"\xff\xfe", "not a text in UTF-8"),
        (f"{ONE}\n\nabc".encode(), "Line 3 is invalid"),
        (b"x" * 65537, "more than 65536 bytes"),
    ],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        KeyFile.read(path)


def test_a_device_without_end_is_no_key_file() -> None:
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        KeyFile.read(Path("/dev/zero"))


@pytest.mark.parametrize("path", [ONE, f"{ONE}/{TWO}", "x" * 300, "a\0b", ""])
def test_what_is_no_file_is_not_shown(path: str) -> None:
    with pytest.raises(ValueError, match="The value must be the path of a file") as caught:
        KeyFile.read(Path(path))
    if path:
        assert path not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(ONE)
    first = KeyFile.read(path)
    path.write_text(TWO)
    assert first.keys == {ONE}
    assert first.read_again().keys == {TWO}
    path.unlink()
    with pytest.raises(ValueError, match="No such file"):
        first.read_again()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="not a regular file"):
        first.read_again()


def test_accepted_keys_can_be_replaced() -> None:
    keys = AcceptedKeys({ONE, TWO})
    assert (keys.accepts(ONE), keys.accepts(THREE), keys.accepts("")) == (True, False, False)
    assert not keys.replace({TWO, ONE})
    assert keys.replace({THREE})
    assert (keys.accepts(ONE), keys.accepts(THREE), len(keys)) == (False, True, 1)
