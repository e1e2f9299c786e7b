"""The commands that write tables into pages; the committed pages have the tables of the committed figures."""

import shutil
from pathlib import Path

from training.reports import pages


def test_the_committed_pages_are_up_to_date(tmp_path: Path) -> None:
    copies = {}
    for page in (
        pages.DETECTION_PAGE,
        pages.LANDMARK_PAGE,
        pages.RECOGNITION_PAGE,
        pages.STUDIES_PAGE,
    ):
        copies[page] = Path(shutil.copy(page, tmp_path))
    pages.detection_tables(page=copies[pages.DETECTION_PAGE], out=tmp_path / "detection.png")
    pages.landmark_tables(page=copies[pages.LANDMARK_PAGE])
    pages.recognition_tables(page=copies[pages.RECOGNITION_PAGE], studies=copies[pages.STUDIES_PAGE])
    for page, copy in copies.items():
        assert copy.read_text() == page.read_text(), f"Run the command that writes the tables of {page}."
    assert (tmp_path / "detection.png").read_bytes()[:4] == b"\x89PNG"
