"""Every test face's landmark error, end to end through `app.pipeline`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Timing
from app.pipeline.landmarks import Landmarker
from app.runtime import store
from app.runtime.session import Device
from app.vision.points import COUNTS
from app.vision.pyramid import Octaves
from app.vision.spec import LandmarkSpec
from training.config import build_trained, config_of
from training.data.sources import READERS
from training.matching import box_of, labelled, raised
from training.metrics import nme


@dataclass(frozen=True)
class Errors:
    """By face: the error from our detector's face (NaN where it finds none) and from the given box."""

    names: tuple[str, ...]
    detected: Float32[ndarray, " n"]
    given: Float32[ndarray, " n"]


class KerasSession:
    """A Keras net as the pipeline's `ModelSession`: what a run's weights do before they are exported."""

    provider = "Keras"
    pages = Device().pages

    def __init__(self, folder: Path) -> None:
        config = config_of(folder)
        self._net = build_trained(folder)
        self.spec = LandmarkSpec(
            model=config.name,
            licence="LicenseRef-research-only",
            research_only=True,
            source=str(folder),
            source_sha256="",
            size=config.size,
            template=config.template,
            scheme=config.scheme,
        )

    def run(self, images: ndarray) -> dict[str, ndarray]:
        """Unit coordinates (n, 2k) of crops (n, h, w, 3)."""
        if len(images) == 0:
            return {"points": np.empty((0, 2 * COUNTS[self.spec.scheme]), np.float32)}
        return {"points": np.asarray(self._net(images.astype(np.float32)), np.float32)}


def load_detector(models: Path) -> Detector:
    """The store's detector, on the CPU."""
    return Detector(store.load(models, "cpu", names=frozenset({"mtcnn"}))[0].sessions)


def load_landmarker(models: Path, name: str) -> Landmarker:
    """A landmark model of the store, on the CPU."""
    return Landmarker(store.load(models, "cpu", names=frozenset({name}))[0].sessions["landmarks"])


def of_run(folder: Path) -> Landmarker:
    """A training run's best weights."""
    return Landmarker(KerasSession(folder))


def measure(data: Path, source: str, detector: Detector, landmarker: Landmarker) -> Errors:
    """The errors on a source's test split. Of several faces found the one that overlaps the labels best."""
    samples = [s for s in READERS[source](data) if s.split == "test" and s.scheme == landmarker.scheme]
    detected = np.full(len(samples), np.nan, np.float32)
    given = np.empty(len(samples), np.float32)
    for i, sample in enumerate(tqdm(samples, disable=None, leave=False)):
        picture, truth = Octaves(sample.pixels()), sample.points[None]
        faces = detector.detect(picture, DetectOptions(), Timing())
        chosen = labelled(faces, sample.points)
        if chosen is not None:
            found = landmarker(picture, faces.points[[chosen]])
            detected[i] = nme(found, truth, sample.scheme)[0]
        located = detector.locate(picture, raised(box_of(sample.points))[None], Timing())
        given[i] = nme(landmarker(picture, located.points), truth, sample.scheme)[0]
    return Errors(tuple(s.name for s in samples), detected, given)
