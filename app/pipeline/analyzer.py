"""The analyzer: all loaded models, by task and name, and the operations that combine several of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel, NoFace, UnknownModel
from app.pipeline import verifier
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.embedder import CosineEmbedder, Embedder, FusedEmbedder, SiameseEmbedder
from app.pipeline.faces import Faces
from app.pipeline.landmarks import Landmarker
from app.pipeline.verifier import DecisionThreshold, Verdict
from app.runtime.model_store import LoadedModel
from app.runtime.timing import Timing
from app.vision.pyramid import AnyImage, ImagePyramid
from app.vision.spec import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Comparison:
    """The result of a verification: the verdict and the two faces that were compared."""

    verdict: Verdict
    face_a: Faces
    face_b: Faces


class Analyzer:
    """All loaded models.

    Args:
        models: the models; at least one detector.
        defaults: the default model of a task, in place of the one that the manifest marks.

    Raises:
        BadModel: there is no detector, a default is not loaded, or a model's parts do not fit.
    """

    def __init__(self, models: list[LoadedModel], defaults: Mapping[Task, str | None] | None = None) -> None:
        self.models = models
        self.detectors = {m.entry.name: Detector(m.sessions) for m in _of_task(models, "detect")}
        self.landmarkers = {
            m.entry.name: Landmarker(m.sessions["landmarks"]) for m in _of_task(models, "landmarks")
        }
        self.embedders: dict[str, Embedder] = {}
        for m in sorted(_of_task(models, "embed"), key=lambda m: len(m.entry.parts)):  # parts first
            self.embedders[m.entry.name] = self._embedder(m)
        if not self.detectors:
            raise BadModel("no loaded model does detect; every operation needs a detector")
        self.defaults = _defaults(models, defaults or {})

    def detector(self, name: str | None) -> Detector:
        """Return the detector of that name, or the default. Raises UnknownModel."""
        return self._pick(self.detectors, name, "detect")

    def landmarker(self, name: str | None) -> Landmarker:
        """Return the landmark model of that name, or the default. Raises UnknownModel."""
        return self._pick(self.landmarkers, name, "landmarks")

    def embedder(self, name: str | None) -> Embedder:
        """Return the embedder of that name, or the default. Raises UnknownModel."""
        return self._pick(self.embedders, name, "embed")

    def landmarks(self, picture: ImagePyramid, faces: Faces, landmarker: Landmarker, timing: Timing) -> Faces:
        """Return the faces with landmarks."""
        with timing.stage("align"):
            crops, transforms = landmarker.crops(picture, faces.points)
        with timing.stage("landmarks"):
            return replace(faces, landmarks=landmarker.regress(crops, transforms))

    def embed(self, picture: ImagePyramid, faces: Faces, embedder: Embedder, timing: Timing) -> Faces:
        """Return the faces with embeddings, aligned by points that the default detector refines."""
        points = self._refined(picture, faces, timing)
        with timing.stage("embed"):
            return replace(faces, embeddings=embedder(picture, points))

    def verify(
        self,
        images: tuple[AnyImage, AnyImage],
        embedder: Embedder,
        threshold: DecisionThreshold,
        timing: Timing,
    ) -> Comparison:
        """Compare the largest faces of two pictures.

        Raises:
            NoFace: a picture has no face; the error names it.
        """
        faces = []
        for field, image in zip(("image_a", "image_b"), images, strict=True):
            picture = ImagePyramid(image)
            detections = self.detector(None).detect(picture, DetectOptions(), timing)
            face = detections.largest(picture.width, picture.height)
            if len(face) == 0:
                raise NoFace(f"No face was found in {field}.", field)
            points = self._refined(picture, face, timing)
            with timing.stage("embed"):
                faces.append(replace(face, embeddings=embedder.represent(picture, points)))
        a, b = faces
        assert a.embeddings is not None
        assert b.embeddings is not None
        with timing.stage("embed"):
            similarity = float(embedder.compare(a.embeddings, b.embeddings)[0])
        verdict = Verdict(similarity, verifier.probability(embedder.spec, similarity), threshold)
        return Comparison(verdict, a, b)

    def _refined(self, picture: ImagePyramid, faces: Faces, timing: Timing) -> Float32[ndarray, "n 5 2"]:
        with timing.stage("align"):
            return self.detector(None).refine_points(picture, faces.points)

    def _embedder(self, model: LoadedModel) -> Embedder:
        sessions, missing = model.sessions, [p for p in model.entry.parts if p not in self.embedders]
        if missing:
            raise BadModel(f"{model.entry.name} needs {', '.join(missing)}, which is not a loaded embedder")
        if "fusion" in sessions:
            return FusedEmbedder([self.embedders[p] for p in model.entry.parts], sessions["fusion"])
        if "head" in sessions:
            return SiameseEmbedder(sessions["embedder"], sessions["head"])
        return CosineEmbedder(sessions["embedder"])

    def _pick(self, models: Mapping[str, T], name: str | None, task: Task) -> T:
        chosen = name or self.defaults.get(task)
        if chosen is None or chosen not in models:
            raise UnknownModel(name, task, sorted(models))
        return models[chosen]


def _of_task(models: list[LoadedModel], task: Task) -> list[LoadedModel]:
    return [model for model in models if model.entry.task == task]


def _defaults(models: list[LoadedModel], chosen: Mapping[Task, str | None]) -> dict[Task, str]:
    """Return the default model of each task for which a model is loaded. Raises BadModel."""
    defaults: dict[Task, str] = {}
    tasks: tuple[Task, ...] = ("detect", "landmarks", "embed")
    for task in tasks:
        entries = [model.entry for model in _of_task(models, task)]
        names = [entry.name for entry in entries]
        name = chosen.get(task)
        if name is not None and name not in names:
            raise BadModel(
                f"no loaded model named {name!r} does {task}; loaded: {', '.join(names) or 'none'}"
            )
        marked = [entry.name for entry in entries if entry.default]
        if name or names:
            defaults[task] = name or (marked or names)[0]
    return defaults
