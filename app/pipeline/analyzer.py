"""The analyzer: every model the service has, and the whole way from a picture to an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel, NoFace, UnknownModel
from app.pipeline import verifier
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.embedder import Embedder, FusedEmbedder, NetEmbedder, PairEmbedder
from app.pipeline.faces import Faces, Timing
from app.pipeline.landmarks import Landmarker
from app.pipeline.verifier import Verdict
from app.runtime.store import LoadedModel
from app.vision.pyramid import AnyImage, Image, Octaves
from app.vision.spec import Task


@dataclass(frozen=True)
class Defaults:
    """The model each task takes when none is named."""

    detect: str
    landmarks: str
    embed: str


@dataclass(frozen=True)
class Comparison:
    """What `/verify` answers: the verdict and the two faces it is about."""

    verdict: Verdict
    face_a: Faces
    face_b: Faces


class Analyzer:
    """Detection, landmarks, embedding and verification by model name."""

    def __init__(self, models: list[LoadedModel], overrides: Mapping[Task, str | None] | None = None) -> None:
        self.models = models
        self.detectors = {m.entry.name: Detector(m.sessions) for m in models if m.entry.task == "detect"}
        self.landmarkers = {
            m.entry.name: Landmarker(m.sessions["landmarks"]) for m in models if m.entry.task == "landmarks"
        }
        self.embedders: dict[str, Embedder] = {}
        for m in sorted(models, key=lambda m: len(m.entry.parts)):  # those of parts last
            if m.entry.task == "embed":
                self.embedders[m.entry.name] = self._embedder(m)
        chosen = overrides or {}
        self.defaults = Defaults(
            **{task: self._default(task, chosen.get(task)) for task in ("detect", "landmarks", "embed")}
        )

    def _embedder(self, model: LoadedModel) -> Embedder:
        sessions, missing = model.sessions, [p for p in model.entry.parts if p not in self.embedders]
        if missing:
            raise BadModel(f"{model.entry.name} is made of {', '.join(missing)}, which is no loaded embedder")
        if "fusion" in sessions:
            return FusedEmbedder([self.embedders[p] for p in model.entry.parts], sessions["fusion"])
        if "head" in sessions:
            return PairEmbedder(sessions["embedder"], sessions["head"])
        return NetEmbedder(sessions["embedder"])

    def _default(self, task: Task, override: str | None) -> str:
        names = [m.entry.name for m in self.models if m.entry.task == task]
        if override is not None:
            if override not in names:
                raise BadModel(f"no loaded model named {override!r} does {task}; loaded: {', '.join(names)}")
            return override
        marked = [m.entry.name for m in self.models if m.entry.task == task and m.entry.default]
        if not names:
            raise BadModel(f"no loaded model does {task}")
        return (marked or names)[0]

    def detector(self, name: str | None) -> Detector:
        return _pick(self.detectors, name or self.defaults.detect, "detect")

    def landmarker(self, name: str | None) -> Landmarker:
        return _pick(self.landmarkers, name or self.defaults.landmarks, "landmarks")

    def embedder(self, name: str | None) -> Embedder:
        return _pick(self.embedders, name or self.defaults.embed, "embed")

    def detect(self, image: Image, model: str | None, options: DetectOptions, timing: Timing) -> Faces:
        """The picture's faces."""
        return self.detector(model).detect(Octaves(image), options, timing)

    def landmarks(
        self,
        image: Image,
        model: str | None,
        options: DetectOptions,
        timing: Timing,
        boxes: Float32[ndarray, "n 4"] | None = None,
    ) -> Faces:
        """The picture's faces with landmarks; or those of the given boxes, in their order."""
        landmarker, picture = self.landmarker(model), Octaves(image)
        faces = self._faces(picture, options, timing, boxes)
        with timing.stage("align"):
            crops, transforms = landmarker.crops(picture, faces.points)
        with timing.stage("landmarks"):
            return replace(faces, landmarks=landmarker.find(crops, transforms))

    def embed(
        self,
        image: Image,
        model: str | None,
        options: DetectOptions,
        timing: Timing,
        boxes: Float32[ndarray, "n 4"] | None = None,
    ) -> Faces:
        """The picture's faces with embeddings; or those of the given boxes, in their order."""
        embedder, picture = self.embedder(model), Octaves(image)
        faces = self._faces(picture, options, timing, boxes)
        with timing.stage("align"):
            points = self.detector(None).refine_points(picture, faces.points)
        with timing.stage("embed"):
            return replace(faces, embeddings=embedder(picture, points))

    def verify(
        self,
        images: tuple[AnyImage, AnyImage],
        model: str | None,
        threshold: float | None,
        far: float | None,
        timing: Timing,
    ) -> Comparison:
        """Whether the largest faces of two pictures are of one person. Raises NoFace naming the picture."""
        embedder = self.embedder(model)
        bar = verifier.bar(embedder.spec, threshold, far)  # bad parameters fail before any work
        found = []
        for field, image in zip(("image_a", "image_b"), images, strict=True):
            picture = Octaves(image)
            face = self._faces(picture, DetectOptions(), timing, None).largest(picture.width, picture.height)
            if len(face) == 0:
                raise NoFace(f"no face found in {field}", field)
            with timing.stage("align"):
                points = self.detector(None).refine_points(picture, face.points)
            with timing.stage("embed"):
                found.append(replace(face, embeddings=embedder.represent(picture, points)))
        a, b = found
        assert a.embeddings is not None
        assert b.embeddings is not None
        with timing.stage("embed"):
            similarity = float(embedder.compare(a.embeddings, b.embeddings)[0])
        return Comparison(Verdict(similarity, verifier.probability(embedder.spec, similarity), bar), a, b)

    def _faces(
        self, picture: Octaves, options: DetectOptions, timing: Timing, boxes: ndarray | None
    ) -> Faces:
        detector = self.detector(None)
        if boxes is None:
            return detector.detect(picture, options, timing)
        return detector.locate(picture, boxes, timing)


T = TypeVar("T")


def _pick(table: Mapping[str, T], name: str, task: str) -> T:
    if name not in table:
        raise UnknownModel(name, task, sorted(table))
    return table[name]
