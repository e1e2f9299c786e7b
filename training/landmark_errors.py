"""Every test face's landmarks, end to end through `app.pipeline` and from given boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.errors import BadModel
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.landmarks import Landmarker
from app.runtime import model_store
from app.runtime.device import Device
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision import align
from app.vision.points import COUNTS, Scheme, fifteen_of_ibug68
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec
from training.config import build_trained, config_of
from training.data import batches, crops
from training.data.sources import READERS, Sample
from training.matching import box_of, labelled, raised

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Found:
    """By face: the labels, the points from our detector's face (NaN: it finds none) and from a given box."""

    names: tuple[str, ...]
    scheme: Scheme
    truth: Float32[ndarray, "n k 2"]
    detected: Float32[ndarray, "n k 2"]
    given: Float32[ndarray, "n k 2"]

    @property
    def seen(self) -> ndarray:
        """Which faces the detector finds: bool (n,)."""
        return np.isfinite(self.detected).all(axis=(1, 2))

    def fifteen(self) -> "Found":
        """The same in Kaggle's 15 points."""
        if self.scheme == "kaggle15":
            return self
        parts = (fifteen_of_ibug68(points) for points in (self.truth, self.detected, self.given))
        return Found(self.names, "kaggle15", *parts)


class KerasSession:
    """A Keras net as the pipeline's `ModelSession`: what a run's weights do before they are exported."""

    provider = "Keras"
    device = Device()

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
        return {"points": np.asarray(self._net(images.astype(np.float32), training=False), np.float32)}

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, one after the other."""
        return [work(item) for item in items]


def load_detector(models: Path, name: str | None = None) -> Detector:
    """A detector of the store, else its default, on the CPU."""
    found = [e.name for e in model_store.read_manifest(models).models if e.task == "detect" and e.default]
    return Detector(model_store.load(models, "cpu", names=frozenset({name or found[0]}))[0].sessions)


def run_session(folder: Path) -> ModelSession:
    """A training run's best weights."""
    return KerasSession(folder)


def load_session(models: Path, name: str) -> ModelSession:
    """A landmark model of the store, on the CPU. Raises BadModel for a name that is none."""
    loaded = model_store.load(models, "cpu", names=frozenset({name}))[0]
    if loaded.entry.task != "landmarks":
        raise BadModel(f"{name} is no landmark net")
    return loaded.sessions["landmarks"]


def samples_of(data: Path, source: str, scheme: Scheme) -> list[Sample]:
    """A source's test split, in its own scheme where that is `scheme` or can be turned into it."""
    usable = {scheme, "ibug68"} if scheme == "kaggle15" else {scheme}
    return [s for s in READERS[source](data) if s.split == "test" and s.scheme in usable]


def truth_of(sample: Sample, scheme: Scheme) -> Float32[ndarray, "1 k 2"]:
    """The sample's labels in a scheme: its own, or 15 points out of 68."""
    points = sample.points[None]
    return points if sample.scheme == scheme else fifteen_of_ibug68(points)


def five_found(
    detector: Detector, picture: ImagePyramid, points: Float32[ndarray, "k 2"]
) -> Float32[ndarray, "1 5 2"] | None:
    """The detector's five points of the labelled face: of several found, the one over its labels."""
    faces = detector.detect(picture, DetectOptions(), Timing())
    chosen = labelled(faces, points)
    return None if chosen is None else faces.points[[chosen]]


def measure(samples: list[Sample], detector: Detector, landmarker: Landmarker) -> Found:
    """What a landmark net finds on the samples."""
    scheme = landmarker.scheme
    truth = np.concatenate([truth_of(s, scheme) for s in samples])
    detected, given = np.full_like(truth, np.nan), np.empty_like(truth)
    for i, sample in enumerate(tqdm(samples, disable=None, leave=False)):
        picture = ImagePyramid(sample.pixels())
        five = five_found(detector, picture, sample.points)
        if five is not None:
            detected[i] = landmarker(picture, five)[0]
        located = detector.locate(picture, raised(box_of(sample.points))[None], Timing())
        given[i] = landmarker(picture, located.points)[0]
    return Found(tuple(s.name for s in samples), scheme, truth, detected, given)


def on_prepared(path: Path, session: ModelSession) -> tuple[ndarray, ndarray]:
    """Found and labelled points (n, k, 2) of the crops in a TFRecord file, in pixels of their pictures.

    The net is fed as `training.train` feeds it to validate.
    """
    spec = session.spec
    if not isinstance(spec, LandmarkSpec):
        raise ValueError(f"{spec.model} is no landmark net")
    faces = crops.load(path)
    images, truth = batches.plain(faces, spec.size)
    unit = np.concatenate([session.run(images[i : i + 64])["points"] for i in range(0, len(images), 64)])
    to_input = faces.to_input(spec.size)
    back = align.invert(to_input[None])
    out = []
    for points in (unit, truth):
        in_crop = align.apply(back, batches.from_unit(points, spec.size).reshape(1, -1, 2))
        in_crop = in_crop.reshape(len(faces), -1, 2)
        out.append(align.apply(align.invert(faces.transforms), in_crop))
    return out[0], out[1]
