"""Candidates for R- and O-Net in one `.npz` file, as `training.mine_candidates` writes it."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from training.data.storage.prepared import BadPreparedData
from training.data.storage.whole_file import whole_file


@dataclass(frozen=True)
class Candidates:
    """Boxes that a stage proposes.

    Attributes:
        photo: the photo of each box, by its index.
        boxes: x1, y1, x2, y2 in pixels of the photo.
        scores: scores of the stage in [0, 1].
    """

    photo: Int[ndarray, " n"]
    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.photo)

    def select(self, photos: Int[ndarray, " m"]) -> "Candidates":
        """Return the candidates of the given photos, with photos numbered by their position in `photos`."""
        position = np.full(int(max(self.photo.max(initial=0), photos.max(initial=0))) + 1, -1)
        position[photos] = np.arange(len(photos))
        kept = np.flatnonzero(position[self.photo] >= 0)
        return Candidates(position[self.photo[kept]], self.boxes[kept], self.scores[kept])


def save(path: Path, candidates: Candidates, portraits: Float32[ndarray, "m 4"]) -> None:
    """Write the candidates, and a box for each portrait, completely or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            photo=candidates.photo.astype(np.int32),
            boxes=candidates.boxes.astype(np.float32),
            scores=candidates.scores.astype(np.float16),
            portraits=portraits.astype(np.float32),
        )


def load(path: Path) -> tuple[Candidates, Float32[ndarray, "m 4"]]:
    """Return the candidates of a file, and the boxes of the portraits.

    Raises:
        BadPreparedData: the file is damaged, or was not written by `training.mine_candidates`.
        FileNotFoundError: the file does not exist.
    """
    try:
        with path.open("rb") as file, np.load(file) as saved:
            candidates = Candidates(
                saved["photo"].astype(np.int64), saved["boxes"], saved["scores"].astype(np.float32)
            )
            return candidates, saved["portraits"]
    except FileNotFoundError:
        raise
    except (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise BadPreparedData(
            f"{path} is damaged, or is no file of candidates. Write it with `python -m "
            "training.mine_candidates`."
        ) from error
