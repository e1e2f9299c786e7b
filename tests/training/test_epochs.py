"""What every kind of run asks of its folder before it begins. The loop itself: `test_train.py`."""

import json
from pathlib import Path

import pytest

from training import epochs


def begun(folder: Path, digest: str) -> Path:
    """A folder that holds a run on data of that hash."""
    epochs.check(folder, False, digest)
    (folder / "checkpoint.npz").write_bytes(b"")
    (folder / "run.json").write_text(json.dumps({"data": {"sha256": digest}}))
    return folder


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    folder = begun(tmp_path / "runs" / "one", "a")
    with pytest.raises(FileExistsError, match="--resume goes on with it"):
        epochs.check(folder, False, "a")
    epochs.check(folder, True, "a")


def test_a_run_goes_on_with_its_own_data_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on other data"):
        epochs.check(begun(tmp_path, "a"), True, "b")


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        epochs.check(tmp_path, True, "a")
