"""Write `tests/contract/embedding_contracts.npz`: vectors of faces under the contracts of their embedders.

    python -m scripts.contract_vectors

A test compares the vectors of each embedder with those that are stored under its contract. Run the script
when a contract has changed on purpose. Vectors of a contract that is in the file stay as they are.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.gallery.contract import contract_of
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.timing import Timing
from app.settings import Settings
from app.vision import image as images
from app.vision.pyramid import ImagePyramid
from app.wiring import load_analyzer

STORED = Path("tests/contract/embedding_contracts.npz")
"""The file."""

_PHOTOS = Path("tests/photos")
_MAX_PIXELS = 50_000_000


def face_vectors(analyzer: Analyzer, model: str) -> Float32[ndarray, "n d"]:
    """Return the embeddings of the faces in the photographs of the tests.

    Args:
        analyzer: the models.
        model: name of an embedder.
    """
    vectors = []
    for path in sorted((*_PHOTOS.glob("*.jpg"), *_PHOTOS.glob("*.png"))):
        picture = ImagePyramid(images.decode(path.read_bytes(), _MAX_PIXELS, "image"))
        faces = analyzer.detector(None).detect(picture, DetectOptions(), Timing())
        vectors.append(analyzer.embed(picture, faces, analyzer.embedder(model), Timing()).embeddings)
    return np.concatenate([found for found in vectors if found is not None])


def main() -> None:
    """Write the vectors of all embedders that a gallery can use."""
    analyzer = load_analyzer(Settings(device="cpu", precision="float"))
    found = {
        contract_of(analyzer, name): face_vectors(analyzer, name)
        for name, embedder in analyzer.embedders.items()
        if embedder.spec.metric == "cosine"
    }
    with np.load(STORED) as file:
        arrays: dict[str, Any] = {
            name: file[name] if name in file else vectors.astype(np.float32)
            for name, vectors in found.items()
        }
    np.savez_compressed(STORED, **arrays)
    print(f"wrote {STORED} with {', '.join(found)}")


if __name__ == "__main__":
    main()
