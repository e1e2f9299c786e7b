"""Parity of an imported net with its source implementation, on stored probe images.

`models/source/<net>.npz` holds the probe images (n, h, w, 3), RGB uint8, and the outputs of the source
implementation for them, float32. The command `training.importers.source_outputs` writes these files.
`make models` compares the Keras nets with them, and `tests/contract/test_source_parity.py` the ONNX files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from training.importers.packages import SourceError

FOLDER = Path(__file__).resolve().parents[2] / "models" / "source"
IMAGES = "images"

Images = UInt8[ndarray, "n h w 3"]
Outputs = dict[str, ndarray]
Library = Callable[[Images], Outputs]
"""Run the source implementation on RGB images. Raises ImportError where it is not installed."""


class OutputsMissing(SourceError):
    """No outputs of the source implementation are stored."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is missing; python -m training.importers.source_outputs {path.stem} writes it"
        )


@dataclass(frozen=True)
class Parity:
    """The largest difference of a net's outputs from its source's, and the largest one allowed."""

    source: str
    difference: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the difference is within the limit; NaN is not."""
        return self.difference <= self.limit

    def __str__(self) -> str:
        relation = "at most" if self.kept else "up to"
        return f"differs from {self.source} by {relation} {self.difference:.2g}, limit {self.limit:.2g}"


def measure(
    name: str, source: str, library: Library, difference: Callable[[Images, Outputs], float], limit: float
) -> Parity:
    """Compare a net with its source's stored outputs, and with the library's own where it is installed.

    `difference` returns how far the net's outputs for images are from those of the source.
    Raises OutputsMissing.
    """
    images, stored = read(name)
    differences = [difference(images, stored)]
    try:
        differences.append(difference(images, library(images)))
    except ImportError:
        source = f"the stored outputs of {source}"
    return Parity(source, float(np.max(differences)), limit)


def read(name: str) -> tuple[Images, Outputs]:
    """Return the probe images of a net and its source's outputs for them. Raises OutputsMissing."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        raise OutputsMissing(path)
    with np.load(path) as stored:
        return stored[IMAGES], {key: stored[key] for key in stored.files if key != IMAGES}


def write(name: str, images: Images, outputs: Outputs) -> Path:
    """Store the probe images of a net and its source's outputs for them; return the file's path."""
    path = FOLDER / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(value, np.float32) for key, value in outputs.items()}
    np.savez_compressed(path, allow_pickle=False, **{IMAGES: images}, **arrays)
    return path


def relative_to_length(found: ndarray, expected: ndarray) -> float:
    """Return the largest difference in a component of a vector (n, d), relative to the vector's length."""
    return float(np.max(np.abs(found - expected) / np.linalg.norm(expected, axis=1, keepdims=True)))
