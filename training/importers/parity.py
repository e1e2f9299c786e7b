"""Parity of an imported net with its source implementation, on stored probe images.

`models/source/<net>.npz` holds the probe images (n, h, w, 3), RGB uint8, and the outputs of the source
implementation for them, float32. The command `training.importers.source_outputs` writes these files.
`make models` compares the Keras nets with them, and `tests/contract/test_source_parity.py` the ONNX files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from training.importers.packages import SourceError

FOLDER = Path(__file__).resolve().parents[2] / "models" / "source"
IMAGES = "images"

LIMIT = 2e-5
"""Maximum difference of a net's outputs from its source's; each importer says relative to what."""

Images = UInt8[ndarray, "n h w 3"]
Outputs = dict[str, ndarray]
Library = Callable[[Images], Outputs]
"""Runs the source implementation on RGB images; raises ImportError if it is not installed."""


class OutputsMissing(SourceError):
    """No outputs of the source implementation are stored."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is missing. Write it with: python -m training.importers.source_outputs {path.stem}"
        )


@dataclass(frozen=True)
class Parity:
    """The result of a comparison.

    Attributes:
        source: name of the source implementation.
        difference: largest difference between the outputs of the net and those of its source.
        limit: maximum difference.
    """

    source: str
    difference: float
    limit: float = LIMIT

    @property
    def within_limit(self) -> bool:
        """Whether the difference is within the limit; NaN is not."""
        return self.difference <= self.limit

    def __str__(self) -> str:
        relation = "at most" if self.within_limit else "up to"
        return f"differs from {self.source} by {relation} {self.difference:.2g}, limit {self.limit:.2g}"


def measure(
    name: str, source: str, library: Library, difference: Callable[[Images, Outputs], float]
) -> Parity:
    """Compare a net with the stored outputs of its source, and with the source's library if it is installed.

    Args:
        name: name of the stored outputs.
        source: name of the source implementation for the message.
        library: runs the source implementation.
        difference: runs the net on images; returns the largest difference from the source's outputs.

    Returns:
        The larger of the two differences.

    Raises:
        OutputsMissing: no outputs are stored under the name.
    """
    images, stored = read(name)
    differences = [difference(images, stored)]
    try:
        differences.append(difference(images, library(images)))
    except ImportError:
        source = f"the stored outputs of {source}"
    return Parity(source, float(np.max(differences)))


def measure_embedder(name: str, source: str, library: Library, net: keras.Model) -> Parity:
    """Compare an embedder with its source: `measure` of the vectors, relative to their length.

    Args:
        name: name of the stored outputs.
        source: name of the source implementation for the message.
        library: runs the source implementation; returns `vectors` (n, d).
        net: RGB float, 0..255, (n, h, w, 3) to a dict with `embedding` (n, d).

    Returns:
        The largest difference of a component, relative to the length of the vector.

    Raises:
        OutputsMissing: no outputs are stored under the name.
    """

    def difference(images: Images, expected: Outputs) -> float:
        vectors = np.asarray(net(images.astype(np.float32))["embedding"])
        lengths = np.linalg.norm(expected["vectors"], axis=1, keepdims=True)
        return float(np.max(np.abs(vectors - expected["vectors"]) / lengths))

    return measure(name, source, library, difference)


def read(name: str) -> tuple[Images, Outputs]:
    """Return the probe images of a net and its source's outputs for them.

    Raises:
        OutputsMissing: no outputs are stored under the name.
    """
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        raise OutputsMissing(path)
    with np.load(path) as stored:
        return stored[IMAGES], {key: stored[key] for key in stored.files if key != IMAGES}


def write(name: str, images: Images, outputs: Outputs) -> Path:
    """Store the probe images of a net and its source's outputs for them.

    Returns:
        The path of the file.
    """
    path = FOLDER / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(value, np.float32) for key, value in outputs.items()}
    np.savez_compressed(path, allow_pickle=False, **{IMAGES: images}, **arrays)
    return path
