"""Candidates in a file, and those of some photos."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.storage import candidates
from training.data.storage.candidates import Candidates


def test_candidates_come_back_and_a_selection_is_numbered_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    saved = Candidates(
        rng.integers(0, 6, 50), rng.uniform(0, 9, (50, 4)).astype(np.float32), np.ones(50, np.float32)
    )
    candidates.save(tmp_path / "a.npz", saved, np.zeros((2, 4), np.float32))
    loaded, portraits = candidates.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.boxes, saved.boxes)
    np.testing.assert_array_equal(loaded.photo, saved.photo)
    assert portraits.shape == (2, 4)
    part = loaded.select(np.array([4, 1]))
    assert len(part) == np.isin(saved.photo, [1, 4]).sum()
    np.testing.assert_array_equal(part.boxes[part.photo == 0], saved.boxes[saved.photo == 4])


def test_photos_without_candidates_have_none() -> None:
    of_photo_3 = Candidates(np.array([3]), np.ones((1, 4), np.float32), np.ones(1, np.float32))
    assert len(of_photo_3.select(np.array([0, 9]))) == 0
    assert len(of_photo_3.select(np.empty(0, np.int64))) == 0


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.npz"):
        candidates.load(tmp_path / "a.npz")


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Candidates(np.array([3]), np.ones((1, 4), np.float32), np.ones(1, np.float32))
    candidates.save(tmp_path / "a.npz", one, np.zeros((2, 4), np.float32))
    before = (tmp_path / "a.npz").read_bytes()

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="No space"):
        candidates.save(tmp_path / "a.npz", one, np.zeros((2, 4), np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_bytes() == before
