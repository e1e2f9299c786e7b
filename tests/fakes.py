"""Fake nets, and a fake tracer. The rest of the pipeline is the real one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.runtime.device import PROVIDERS, Device
from app.runtime.manifest import FileEntry, ModelEntry
from app.runtime.model_store import LoadedModel
from app.runtime.session import ModelSession
from app.runtime.spans import Span
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import (
    TASK_OF_KIND,
    Calibration,
    EmbedderSpec,
    LandmarkSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
)

T = TypeVar("T")
R = TypeVar("R")

COMMON: dict[str, Any] = {
    "licence": "CC0-1.0",
    "research_only": False,
    "source": "made by a test",
    "source_sha256": "0" * 64,
}

CPU = Device("cpu")

FIVE_IN_BOX = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
"""The five points of the fake detector, in units of the box."""


@dataclass
class FakeSession:
    """A net whose outputs a function of the batch returns. Records the batch sizes it receives."""

    spec: ModelSpec
    answer: Callable[[ndarray], Mapping[str, ndarray]]
    provider: str = PROVIDERS["cpu"]
    device: Device = CPU
    seen: list[int] = field(default_factory=list)

    def run(self, images: ndarray) -> Mapping[str, ndarray]:
        """Return the outputs for uint8 (n, h, w, 3)."""
        assert images.dtype == np.uint8
        assert images.shape[3] == 3
        self.seen.append(len(images))
        return self.answer(images)

    def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `work` of every item, one after the other."""
        return [work(item) for item in items]


@dataclass
class FakeDetector(Detector):
    """Finds one face in each half of a picture that is not dark; the left one is larger and scored higher."""

    spec: ONetSpec
    on_detect: Callable[[], None] = lambda: None

    def enlarged_pixels(self, width: int, height: int, min_face_size: float) -> float:
        return width * height * (12 / min_face_size) ** 2

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        self.on_detect()
        with timing.stage("fake"):
            width, height = picture.width, picture.height
            boxes = np.array([[0.05, 0.1, 0.45, 0.9], [0.6, 0.3, 0.9, 0.7]], np.float32)
            boxes *= np.array([width, height, width, height], np.float32)
            faces = self.locate(picture, boxes, timing)
        bright = picture[0].max() > 32
        threshold = self.spec.threshold if options.threshold is None else options.threshold
        keep = np.flatnonzero((faces.scores > threshold) & bright)
        return faces.take(keep[: options.max_faces])

    def refine_points(self, picture: ImagePyramid, points: ndarray) -> ndarray:
        return points

    def locate(self, picture: ImagePyramid, given: ndarray, timing: Timing) -> Faces:
        scores = np.linspace(0.99, 0.8, max(2, len(given)), dtype=np.float32)[: len(given)]
        side = given[:, None, 2:] - given[:, None, :2]
        return Faces(given, scores, (given[:, None, :2] + FIVE_IN_BOX * side).astype(np.float32))

    def right_way_round(self, picture: ImagePyramid, located: Faces, timing: Timing) -> ndarray:
        return np.ones(len(located), bool)

    def locate_turned(self, picture: ImagePyramid, given: ndarray, timing: Timing) -> Faces:
        return self.locate(picture, given, timing)


def loaded(name: str, *sessions: FakeSession, default: bool = True) -> LoadedModel:
    """Return a model with these sessions, as the model store would."""
    kinds: dict[str, ModelSession] = {session.spec.kind: session for session in sessions}
    task = TASK_OF_KIND[sessions[0].spec.kind]
    files = tuple(FileEntry(file=f"{name}-{kind}.onnx", bytes=1, sha256="0" * 64) for kind in kinds)
    return LoadedModel(ModelEntry(name=name, task=task, default=default, files=files), kinds)


def cascade(name: str = "detector") -> LoadedModel:
    """Return a detector whose P-, R- and O-Net find no faces."""
    pnet = PNetSpec(
        model=name, factor=0.7, threshold=0.6, nms_per_scale=0.5, nms=0.7, max_candidates=9, **COMMON
    )
    rnet = RNetSpec(model=name, size=24, crop=1.0, threshold=0.7, nms=0.7, max_candidates=9, **COMMON)
    onet = ONetSpec(model=name, size=48, crop=1.0, threshold=0.7, nms=0.7, nms_metric="iom", **COMMON)

    def cells(images: ndarray) -> dict[str, ndarray]:
        rows, columns = ((side - 12) // 2 + 1 for side in images.shape[1:3])
        return {
            "score": np.zeros((len(images), rows, columns), np.float32),
            "offsets": np.zeros((len(images), rows, columns, 4), np.float32),
        }

    def crops(images: ndarray) -> dict[str, ndarray]:
        n = len(images)
        return {
            "score": np.zeros(n, np.float32),
            "offsets": np.zeros((n, 4), np.float32),
            "points": np.tile(FIVE_IN_BOX, (n, 1, 1)),
        }

    return loaded(name, FakeSession(pnet, cells), FakeSession(rnet, crops), FakeSession(onet, crops))


def landmarker(name: str = "points", default: bool = True) -> LoadedModel:
    """Return a landmark model whose 15 points all lie in the middle of the crop."""
    spec = LandmarkSpec(model=name, size=16, template="arcface", scheme="kaggle15", **COMMON)
    return loaded(
        name,
        FakeSession(spec, lambda images: {"points": np.full((len(images), 30), 0.5, np.float32)}),
        default=default,
    )


def embedder(name: str = "vectors", default: bool = True) -> LoadedModel:
    """Return an embedder whose vector is the crop's mean colour, scaled to length 1."""
    spec = EmbedderSpec(
        model=name,
        size=16,
        template="arcface",
        dimension=3,
        flip_average=False,
        calibrated_on="nothing",
        thresholds=(
            Calibration(far=0.01, threshold=0.5, tar=0.9),
            Calibration(far=0.001, threshold=0.75, tar=0.8),
        ),
        default_far=0.001,
        probability=Probability(slope=20, offset=-15),
        **COMMON,
    )

    def mean(images: ndarray) -> dict[str, ndarray]:
        colour = images.mean(axis=(1, 2)).astype(np.float32) + np.float32(0.1)
        return {"embedding": colour / np.linalg.norm(colour, axis=1, keepdims=True)}

    return loaded(name, FakeSession(spec, mean), default=default)


def fake_analyzer(on_detect: Callable[[], None] = lambda: None) -> Analyzer:
    """Return the real analyzer over fake nets: a detector, two landmark models and two embedders."""
    models = [
        cascade(),
        landmarker(),
        landmarker("other-points", default=False),
        embedder(),
        embedder("other-vectors", default=False),
    ]
    analyzer = Analyzer(models)
    analyzer.detectors = {
        name: FakeDetector(detector.spec, on_detect) for name, detector in analyzer.detectors.items()
    }
    return analyzer


class FakeTracer:
    """A tracer that keeps the spans it was asked for, and the headers of the last request."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.headers: list[tuple[bytes, bytes]] = []

    @contextmanager
    def request(self, name: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Make a span."""
        self.headers = list(headers)
        with self.span(name) as span:
            yield span

    @contextmanager
    def span(self, name: str) -> Iterator[Span]:
        """Make a span."""
        span = Span(name)
        self.spans.append(span)
        try:
            yield span
        except Exception as error:
            span.error = type(error).__name__
            raise

    def trace_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Name the last span."""
        return ((b"traceparent", self.spans[-1].name.encode()),)

    def past_span(self, name: str, start: float) -> None:
        """Make a span."""
        self.spans.append(Span(name))
