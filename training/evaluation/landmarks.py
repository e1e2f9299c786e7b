"""Measure a landmark net on a test set: end to end through `app.pipeline`, and from ground-truth boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray
from tqdm import tqdm

from app.errors import BadModel
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.landmarks import Landmarker
from app.runtime import model_store
from app.runtime.device import Device
from app.runtime.manifest import models_for
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision import align
from app.vision.points import COUNTS, Scheme, fifteen_of_ibug68
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec
from training.config.registry import build_trained, config_of
from training.config.schema import LandmarkConfig
from training.data.batches import landmarks as landmark_batches
from training.data.datasets.landmark_sets import READERS, Sample
from training.data.prepare.face_matching import bounding_box, labelled_face, raise_top
from training.data.storage import landmark_crops
from training.evaluation.model_folders import folders_of
from training.evaluation.user_errors import UserError

T = TypeVar("T")
R = TypeVar("R")

BATCH = 64


@dataclass(frozen=True)
class Predictions:
    """The predicted and labelled points of the faces of a test set, in pixels of the images.

    Attributes:
        names: names of the samples.
        scheme: the points and their order.
        labels: the labelled points.
        end_to_end: points predicted for the detected face; NaN if the face is not detected.
        ground_truth: points predicted from the box of the labels, its top raised.
    """

    names: tuple[str, ...]
    scheme: Scheme
    labels: Float32[ndarray, "n k 2"]
    end_to_end: Float32[ndarray, "n k 2"]
    ground_truth: Float32[ndarray, "n k 2"]

    @property
    def detected(self) -> Bool[ndarray, " n"]:
        """Whether each face is detected."""
        return np.isfinite(self.end_to_end).all(axis=(1, 2))

    @property
    def undetected(self) -> list[str]:
        """The names of the samples whose face is not detected."""
        return [name for name, known in zip(self.names, self.detected, strict=True) if not known]

    def in_kaggle15(self) -> "Predictions":
        """Return the same predictions in Kaggle's 15 points."""
        if self.scheme == "kaggle15":
            return self
        parts = (fifteen_of_ibug68(points) for points in (self.labels, self.end_to_end, self.ground_truth))
        return Predictions(self.names, "kaggle15", *parts)


class KerasSession:
    """A `ModelSession` that runs the best weights of a training run in Keras, before any export.

    Args:
        folder: the folder of the run.

    Attributes:
        spec: the spec of the net.

    Raises:
        RunError: the run does not train a landmark net.
        FileNotFoundError: the folder holds no finished run.
    """

    provider = "Keras"
    device = Device()

    def __init__(self, folder: Path) -> None:
        config = config_of(folder, LandmarkConfig)
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
            flip_average=config.flip_average,
        )

    def run(self, images: ndarray) -> dict[str, ndarray]:
        """Return unit coordinates (n, 2k) of crops (n, h, w, 3)."""
        if len(images) == 0:
            return {"points": np.empty((0, 2 * COUNTS[self.spec.scheme]), np.float32)}
        return {"points": np.asarray(self._net(images.astype(np.float32), training=False), np.float32)}

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results of `work` on each item, computed one after the other."""
        return [work(item) for item in items]


def load_detector(models: Path, name: str | None = None) -> Detector:
    """Return a detector of the model store on the CPU; the default detector if `name` is None.

    Raises:
        UnknownModel: the store has no such detector.
        BadModel: the store is damaged.
    """
    folders = folders_of(models)
    names = models_for(folders, {"detect": name})
    return Detector(model_store.load(folders, "cpu", names=names)[0].sessions)


def open_session(models: Path, name: str | None, run: Path | None) -> ModelSession:
    """Return the session of a landmark net of the model store, or of a training run.

    Raises:
        UserError: both `name` and `run` are given, or none of them.
    """
    if name is not None and run is None:
        return load_session(models, name)
    if run is not None and name is None:
        return KerasSession(run)
    raise UserError("Give either --model or --run.")


def load_session(models: Path, name: str) -> ModelSession:
    """Return the session of a landmark net of the model store on the CPU.

    Raises:
        UnknownModel: the store has no such landmark net.
        BadModel: the store is damaged.
    """
    folders = folders_of(models)
    names = models_for(folders, {"landmarks": name})
    return model_store.load(folders, "cpu", names=names)[0].sessions["landmarks"]


def read_test_samples(data: Path, source: str, scheme: Scheme) -> list[Sample]:
    """Return the test split of a dataset.

    Args:
        data: the folder that holds the datasets.
        source: name of the dataset in `READERS`.
        scheme: the scheme of the net. Labels of 68 points also serve a net with Kaggle's 15.

    Raises:
        UserError: the dataset is unknown or missing, or has no test faces with suitable labels.
    """
    if source not in READERS:
        raise UserError(f"There is no dataset {source!r}. The datasets are: {', '.join(READERS)}.")
    usable = {scheme, "ibug68"} if scheme == "kaggle15" else {scheme}
    samples = [s for s in READERS[source](data) if s.split == "test" and s.scheme in usable]
    if not samples:
        raise UserError(
            f"The dataset {source} in {data} has no test faces with labels for the scheme {scheme}. Check "
            "the folder, or choose another --source."
        )
    return samples


def labels_in(sample: Sample, scheme: Scheme) -> Float32[ndarray, "1 k 2"]:
    """Return the labels of a sample in a scheme: its own, or 15 points computed from 68."""
    points = sample.points[None]
    return points if sample.scheme == scheme else fifteen_of_ibug68(points)


def detect_five(
    detector: Detector, picture: ImagePyramid, points: Float32[ndarray, "k 2"]
) -> Float32[ndarray, "1 5 2"] | None:
    """Return the detector's five points of the labelled face, or None if it is not detected.

    Args:
        detector: the detector.
        picture: the image.
        points: the labelled points, which select the face.
    """
    faces = detector.detect(picture, DetectOptions(), Timing())
    index = labelled_face(faces, points)
    return None if index is None else faces.points[[index]]


def measure(samples: list[Sample], detector: Detector, landmarker: Landmarker) -> Predictions:
    """Return the predictions of a landmark net on the samples."""
    scheme = landmarker.scheme
    labels = np.concatenate([labels_in(s, scheme) for s in samples])
    end_to_end, ground_truth = np.full_like(labels, np.nan), np.empty_like(labels)
    for i, sample in enumerate(tqdm(samples, unit="image", disable=None, leave=False)):
        picture = ImagePyramid(sample.pixels())
        five = detect_five(detector, picture, sample.points)
        if five is not None:
            end_to_end[i] = landmarker(picture, five)[0]
        located = detector.locate(picture, raise_top(bounding_box(sample.points))[None], Timing())
        ground_truth[i] = landmarker(picture, located.points)[0]
    return Predictions(tuple(s.name for s in samples), scheme, labels, end_to_end, ground_truth)


def predict_prepared(
    path: Path, session: ModelSession
) -> tuple[Float32[ndarray, "n k 2"], Float32[ndarray, "n k 2"]]:
    """Return the predicted and the labelled points of prepared crops, in pixels of their images.

    The crops are those on which training validates a net.

    Args:
        path: a TFRecord file of a prepared set.
        session: the landmark net.

    Raises:
        BadModel: the net is not a landmark net.
        FileNotFoundError: the file does not exist.
    """
    spec = session.spec
    if not isinstance(spec, LandmarkSpec):
        raise BadModel(f"{spec.model} is not a landmark net.")
    faces = landmark_crops.load(path)
    images, labels = landmark_batches.served_crops(faces, spec.size)
    batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    predicted = np.concatenate([session.run(batch)["points"] for batch in batches])
    to_crop = align.invert(faces.to_input(spec.size)[None])
    to_image = align.invert(faces.transforms)

    def in_image(unit: ndarray) -> Float32[ndarray, "n k 2"]:
        in_crop = align.apply(to_crop, landmark_batches.from_unit(unit, spec.size).reshape(1, -1, 2))
        return align.apply(to_image, in_crop.reshape(len(faces), -1, 2))

    return in_image(predicted), in_image(labels)
