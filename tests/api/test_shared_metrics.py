"""The metrics of all worker processes while one of them creates its files."""

import threading
from pathlib import Path

import pytest

from app.api import shared_metrics


def test_a_file_that_is_just_created_is_read_again(tmp_path: Path) -> None:
    new = tmp_path / "counter_1.db"
    new.touch()
    timer = threading.Timer(0.03, new.unlink)
    timer.start()
    assert shared_metrics.text(str(tmp_path)) == b""
    timer.join()


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    with pytest.raises(Exception, match="unpack"):
        shared_metrics.text(str(tmp_path))
