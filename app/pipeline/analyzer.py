"""The analyzer: all loaded models by task and name, and the operations that combine several of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import BadModel, BadParameter, NoFace, UnknownModel
from app.pipeline import quality, verifier
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.embedder import CosineEmbedder, Embedder, FacePoints, FusedEmbedder, SiameseEmbedder
from app.pipeline.faces import Faces
from app.pipeline.landmarks import Landmarker, MeshLandmarker, landmarker_of
from app.pipeline.largest_face import detect_largest
from app.pipeline.orientation import Orientation
from app.pipeline.quality import Signals
from app.pipeline.verifier import DecisionThreshold, Verdict
from app.runtime.model_store import LoadedModel
from app.runtime.precision import Precision
from app.runtime.timing import Timing
from app.vision import mesh
from app.vision.pyramid import AnyImage, ImagePyramid
from app.vision.spec import Task

T = TypeVar("T")

_NO_FACE_HINT: dict[Orientation, str] = {
    "upright": "Send an image with a visible, upright face, or set the parameter orientation to auto",
    "auto": "Send an image with a visible face",
}


@dataclass(frozen=True)
class Comparison:
    """The result of a verification.

    Attributes:
        verdict: the similarity and the decision.
        face_a: the face of the first image that was compared.
        face_b: the face of the second image that was compared.
    """

    verdict: Verdict
    face_a: Faces
    face_b: Faces


class Analyzer:
    """Owner of all loaded models.

    Args:
        models: the loaded models, at least one of them a detector.
        defaults: the default model of a task; replaces the default of the manifest.

    Attributes:
        models: the loaded models.
        detectors: the detectors by name.
        landmarkers: the landmark models by name.
        embedders: the embedders by name.
        defaults: the name of the default model of each task that has a model.

    Raises:
        BadModel: there is no detector, a default model is not loaded, or the parts of a model do not fit.
    """

    def __init__(self, models: list[LoadedModel], defaults: Mapping[Task, str | None] | None = None) -> None:
        self.models = models
        self.detectors = {m.entry.name: Detector(m.sessions) for m in _of_task(models, "detect")}
        self.landmarkers = {
            m.entry.name: landmarker_of(m.sessions["landmarks"]) for m in _of_task(models, "landmarks")
        }
        self._meshes = {
            name: model for name, model in self.landmarkers.items() if isinstance(model, MeshLandmarker)
        }
        self.embedders: dict[str, Embedder] = {}
        for m in sorted(_of_task(models, "embed"), key=lambda m: len(m.entry.parts)):  # the parts come first
            self.embedders[m.entry.name] = self._embedder(m)
        if not self.detectors:
            raise BadModel(
                "No detector is loaded, but every operation needs one. Add one to FACE_MODELS, or the folder "
                "of the shipped models to FACE_MODELS_DIR."
            )
        self.defaults = _defaults(models, defaults or {})

    def detector(self, name: str | None) -> Detector:
        """Return a detector by name, or the default detector if `name` is None.

        Raises:
            UnknownModel: no loaded detector has this name.
        """
        return self._pick(self.detectors, name, "detect")

    def landmarker(self, name: str | None) -> Landmarker:
        """Return a landmark model by name, or the default landmark model if `name` is None.

        Raises:
            UnknownModel: no loaded landmark model has this name, or none is loaded.
        """
        return self._pick(self.landmarkers, name, "landmarks")

    def embedder(self, name: str | None) -> Embedder:
        """Return an embedder by name, or the default embedder if `name` is None.

        Raises:
            UnknownModel: no loaded embedder has this name, or none is loaded.
        """
        return self._pick(self.embedders, name, "embed")

    def precision(self, model: LoadedModel) -> Precision:
        """Return the precision of a loaded model: int8 if it or one of its parts is."""
        own = {model.entry.name, *model.entry.parts}
        used = {other.precision for other in self.models if other.entry.name in own}
        return "int8" if "int8" in used else "float"

    def landmarks(self, picture: ImagePyramid, faces: Faces, landmarker: Landmarker, timing: Timing) -> Faces:
        """Return the faces with landmarks in pixels of the image.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            landmarker: the landmark model.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        return replace(faces, landmarks=landmarker(picture, faces.points, timing))

    def poses(self, picture: ImagePyramid, faces: Faces, timing: Timing) -> Faces:
        """Return the faces with the poses of the heads, by a loaded face mesh.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            timing: receives the times of the stages `align` and `landmarks`.

        Raises:
            BadParameter: no face mesh is loaded.
        """
        model = next(iter(self._meshes.values()), None)
        if model is None:
            raise BadParameter(
                "The parameter pose needs a face mesh, and none is loaded. Add mesh68 to FACE_MODELS.", "pose"
            )
        return replace(faces, poses=mesh.pose(model.meshes(picture, faces.points, timing)))

    def embed(
        self,
        picture: ImagePyramid,
        faces: Faces,
        embedder: Embedder,
        timing: Timing,
        with_quality: bool = False,
    ) -> Faces:
        """Return the faces with embeddings.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            embedder: the embedder.
            timing: receives the times of the stages `align` and `embed`.
            with_quality: whether to add the qualities, see `qualities`.

        Raises:
            BadParameter: `with_quality` is set, and no loaded embedder measures it.
        """
        if with_quality:
            faces = self.qualities(picture, faces, timing)
            if embedder is self._judge():
                return faces
        points = self.align(picture, faces.points, embedder, timing)
        with timing.stage("embed"):
            return replace(faces, embeddings=embedder(picture, points))

    def qualities(self, picture: ImagePyramid, faces: Faces, timing: Timing) -> Faces:
        """Return the faces with their qualities, and with the embeddings of the model that measures them.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            timing: receives the times of the stages `align` and `embed`.

        Raises:
            BadParameter: no loaded embedder measures the quality.
        """
        judge = self._judge()
        assert judge.spec.quality is not None
        embeddings, signals = self.measure(picture, faces, judge, timing)
        return replace(faces, embeddings=embeddings, qualities=quality.quality(signals, judge.spec.quality))

    def measure(
        self, picture: ImagePyramid, faces: Faces, embedder: FusedEmbedder, timing: Timing
    ) -> tuple[Float32[ndarray, "n d"], Signals]:
        """Return the embeddings of faces, and the signals of their quality.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            embedder: the embedder.
            timing: receives the times of the stages `align` and `embed`.
        """
        points, presence = self._align(picture, faces.points, embedder, timing)
        with timing.stage("embed"):
            embeddings, norms = embedder.embed_and_measure(picture, points)
        return embeddings, quality.signals(norms, presence, faces.points, points.crop)

    def represent(self, picture: ImagePyramid, faces: Faces, embedder: Embedder, timing: Timing) -> Faces:
        """Return the faces with the vectors that `Embedder.compare` takes as their embeddings.

        Args:
            picture: the image.
            faces: the faces, with five points each.
            embedder: the embedder.
            timing: receives the times of the stages `align` and `embed`.
        """
        points = self.align(picture, faces.points, embedder, timing)
        with timing.stage("embed"):
            return replace(faces, embeddings=embedder.represent(picture, points))

    def verify(
        self,
        images: tuple[AnyImage, AnyImage],
        embedder: Embedder,
        threshold: DecisionThreshold,
        timing: Timing,
        orientation: Orientation = "upright",
    ) -> Comparison:
        """Compare the largest faces of two images (see `Faces.largest`).

        Args:
            images: the decoded images, RGB (h, w, 3) uint8.
            embedder: the embedder.
            threshold: the minimum similarity for the same person.
            timing: receives the times of the stages.
            orientation: whether to search an image turned, too, if it contains no upright face.

        Returns:
            The verdict and the compared faces.

        Raises:
            NoFace: an image contains no face. The field of the error is `image_a` or `image_b`.
        """
        faces = []
        for field, image in zip(("image_a", "image_b"), images, strict=True):
            picture = ImagePyramid(image)
            options = DetectOptions(orientation=orientation)
            face = detect_largest(self.detector(None), picture, options, timing)
            if len(face) == 0:
                raise NoFace(f"No face was found in {field}. {_NO_FACE_HINT[orientation]}.", field)
            faces.append(self.represent(picture, face, embedder, timing))
        a, b = faces
        assert a.embeddings is not None
        assert b.embeddings is not None
        with timing.stage("embed"):
            similarity = float(embedder.compare(a.embeddings, b.embeddings)[0])
        verdict = Verdict(similarity, verifier.probability(embedder.spec, similarity), threshold)
        return Comparison(verdict, a, b)

    def align(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], embedder: Embedder, timing: Timing
    ) -> FacePoints:
        """Return the points by which an embedder aligns faces.

        The default detector refines its points for the crop. Those of a face mesh, whose errors differ, align
        the mirrored crop if the embedder names a mesh.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
            embedder: the embedder.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        return self._align(picture, points, embedder, timing)[0]

    def _align(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], embedder: Embedder, timing: Timing
    ) -> tuple[FacePoints, Float32[ndarray, " n"]]:
        """Return the points that align faces, and the logits of presence by the mesh; zeros without one."""
        with timing.stage("align"):
            refined = self.detector(None).refine_points(picture, points)
        if embedder.spec.mesh is None:
            return FacePoints(refined, refined), np.zeros(len(points), np.float32)
        meshes, presence = self._meshes[embedder.spec.mesh].first_pass(picture, points, timing)
        return FacePoints(refined, mesh.five_points(meshes)), presence

    @property
    def measures_quality(self) -> bool:
        """Whether a loaded embedder measures the quality of faces."""
        return self._first_judge() is not None

    def _first_judge(self) -> FusedEmbedder | None:
        for embedder in self.embedders.values():
            if isinstance(embedder, FusedEmbedder) and embedder.spec.quality is not None:
                return embedder
        return None

    def _judge(self) -> FusedEmbedder:
        """Return the embedder that measures the quality of faces.

        Raises:
            BadParameter: none is loaded.
        """
        if (judge := self._first_judge()) is not None:
            return judge
        raise BadParameter(
            "The parameter quality needs an embedder that measures it, and none is loaded. Add fused to "
            "FACE_MODELS.",
            "quality",
        )

    def _embedder(self, model: LoadedModel) -> Embedder:
        sessions, missing = model.sessions, [p for p in model.entry.parts if p not in self.embedders]
        if missing:
            raise BadModel(f"{model.entry.name} needs {', '.join(missing)}, which is not a loaded embedder.")
        if model.entry.mesh is not None and model.entry.mesh not in self._meshes:
            raise BadModel(f"{model.entry.name} needs {model.entry.mesh}, which is not a loaded face mesh.")
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
    """Return the name of the default model of each task that has a loaded model.

    Raises:
        BadModel: a chosen default is not loaded.
    """
    defaults: dict[Task, str] = {}
    tasks: tuple[Task, ...] = ("detect", "landmarks", "embed")
    for task in tasks:
        entries = [model.entry for model in _of_task(models, task)]
        names = [entry.name for entry in entries]
        name = chosen.get(task)
        if name is not None and name not in names:
            raise BadModel(
                f"The default model {name!r} for {task} is not loaded. Loaded: {', '.join(names) or 'none'}."
            )
        marked = [entry.name for entry in entries if entry.default]
        if name or names:
            defaults[task] = name or (marked or names)[0]
    return defaults
