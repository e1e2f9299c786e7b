"""The hash that identifies the data of a run."""

import hashlib
from pathlib import Path

from training.data.storage.data_hash import hash_files, hash_tfrecords


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_set_is_identified_by_the_names_and_contents_of_its_tfrecords(tmp_path: Path) -> None:
    (tmp_path / "validation.tfrecord").write_bytes(b"v")
    (tmp_path / "train.tfrecord").write_bytes(b"t")
    (tmp_path / "prepare.json").write_text("{}")
    lines = f"train.tfrecord {sha256(b't')}\nvalidation.tfrecord {sha256(b'v')}"
    assert hash_tfrecords(tmp_path) == sha256(lines.encode())


def test_files_count_in_the_given_order_without_their_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    lines = "".join(f"{name} {sha256(name.encode())}\n" for name in "ba")
    assert hash_files([tmp_path / "b", tmp_path / "a"]) == sha256(lines.encode())
    assert hash_files([tmp_path / "a", tmp_path / "b"]) != sha256(lines.encode())
