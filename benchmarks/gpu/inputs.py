"""The inputs on which nets are compared: what the pipeline gives them for photos, and random ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.device import Device
from app.runtime.model_store import LoadedModel
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import ModelSpec
from benchmarks.pictures import photographs

T = TypeVar("T")
R = TypeVar("R")

RANDOM_ROWS = 5
"""Rows of a random input: more than one batch, and the last batch is padded on a GPU."""


@dataclass
class Inputs:
    """The inputs of one net.

    Attributes:
        photographs: the inputs of the calls that the pipeline made for photos.
        random: seeded random inputs, one for each shape of a row.
    """

    photographs: list[ndarray] = field(default_factory=list)
    random: list[ndarray] = field(default_factory=list)


class _RecordingSession:
    def __init__(self, session: ModelSession, calls: list[ndarray]) -> None:
        self._session = session
        self._calls = calls

    @property
    def spec(self) -> ModelSpec:
        return self._session.spec

    @property
    def provider(self) -> str:
        return self._session.provider

    @property
    def device(self) -> Device:
        return self._session.device

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        if len(images):
            self._calls.append(images.copy())  # the pipeline may use its memory again
        return self._session.run(images)

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        return self._session.map(work, items)


def rgb_photos(small: bool) -> list[ndarray]:
    """Return the photos of the project, RGB (h, w, 3) uint8; only the first for a small measurement."""
    return [np.ascontiguousarray(photo[:, :, ::-1]) for photo in photographs()[: 1 if small else None]]


def inputs_of(models: Sequence[LoadedModel], photos: Sequence[ndarray]) -> dict[tuple[str, str], Inputs]:
    """Return the inputs of every net, by the name of its model and its stage.

    Args:
        models: the models; all their operations run on the photos.
        photos: the photos, RGB (h, w, 3) uint8.
    """
    inputs: dict[tuple[str, str], Inputs] = {}
    recording = []
    for model in models:
        sessions: dict[str, ModelSession] = {}
        for stage, session in model.sessions.items():
            kept = inputs[model.entry.name, stage] = Inputs()
            sessions[stage] = _RecordingSession(session, kept.photographs)
        recording.append(replace(model, sessions=sessions))
    analyzer = Analyzer(recording)
    for photo in photos:
        _run_all(analyzer, photo)
    for kept in inputs.values():
        shapes = {(images.shape[1:], images.dtype): images for images in kept.photographs}
        kept.random = [_random_like(images) for images in shapes.values()]
    return inputs


def _run_all(analyzer: Analyzer, photo: ndarray) -> None:
    picture = ImagePyramid(photo)
    for detector in analyzer.detectors.values():
        detector.detect(picture, DetectOptions(), Timing())
    faces = analyzer.detector(None).detect(picture, DetectOptions(), Timing())
    for landmarker in analyzer.landmarkers.values():
        landmarker(picture, faces.points)
    for embedder in analyzer.embedders.values():
        vectors = analyzer.represent(picture, faces, embedder, Timing()).embeddings
        assert vectors is not None
        embedder(picture, analyzer.align(picture, faces.points, embedder, Timing()))
        embedder.compare(vectors, vectors[::-1])


def _random_like(images: ndarray) -> ndarray:
    shape = (RANDOM_ROWS, *images.shape[1:])
    random = np.random.default_rng(0)
    if images.dtype == np.uint8:
        return random.integers(0, 256, shape, np.uint8)
    return (random.standard_normal(shape) * images.std()).astype(images.dtype)
