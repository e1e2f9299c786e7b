"""The ROC plot. The lines and card rows are tested with the measurement (tests/training/evaluation)."""

from pathlib import Path

import numpy as np
from PIL import Image as Pil

from training.reports.verification import plot


def test_a_roc_plot_is_a_png_file(tmp_path: Path) -> None:
    plot({"m": (np.array([0, 0.1, 1]), np.array([0, 0.9, 1]))}, tmp_path / "sub" / "roc.png", "a title")
    with Pil.open(tmp_path / "sub" / "roc.png") as drawn:
        assert drawn.size == (1100, 480)
