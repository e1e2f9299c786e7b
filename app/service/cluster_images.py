"""Clusters of faces in many images: parameters, responses, and the operation. Nothing is stored."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field

from app.errors import BadParameter
from app.gallery.clustering import cluster
from app.gallery.contract import contract_of
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Faces
from app.pipeline.verifier import choose_threshold
from app.runtime.timing import Timing, current_timing
from app.service.compared_faces import Wanted
from app.service.operations import Operations
from app.service.problems import Problem
from app.service.requests import DetectQuery, FaceOrientation, MaxFaces, MinFaceSize, Model, Query
from app.service.responses import Face, Size
from app.service.upload import Upload
from app.vision.pyramid import ImagePyramid

_OPTIONS = DetectOptions()


class ClusterQuery(Query):
    """Parameters of `/cluster`."""

    model: Model = None
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Minimum mean similarity of two clusters that are merged. Without it, the threshold that "
        "is calibrated for the `default_far` of the model is used, as in `/verify`.",
    )
    min_face_size: MinFaceSize = _OPTIONS.min_face_size
    max_faces: MaxFaces = _OPTIONS.max_faces
    orientation: FaceOrientation = _OPTIONS.orientation

    def detection(self) -> DetectQuery:
        """Return the parameters of the detection among those that a request has set."""
        names = (self.model_fields_set & DetectQuery.model_fields.keys()) - {"model", "threshold"}
        return DetectQuery.model_validate({name: getattr(self, name) for name in names})


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClusteredFace(Face):
    """A face, and the cluster that it belongs to."""

    cluster: int | None = Field(
        description="Number of the cluster, from 0 by descending size. Null if the face is alike to no other."
    )


class ClusteredImage(_Response):
    """The faces of an image with their clusters."""

    image: Size = Field(description="Size of the image.")
    faces: list[ClusteredFace] = Field(
        description="The faces, by descending score. No two of them have the same cluster."
    )


class ClusterResponse(_Response):
    """The faces of several images in clusters: the faces of one person have one number."""

    results: list[ClusteredImage | Problem] = Field(
        description="For each image, in the order of the request, its faces or its problem."
    )
    clusters: int = Field(description="Number of clusters, each of at least two faces.")
    threshold: float = Field(description="Minimum mean similarity of two clusters that are merged.")
    far: float | None = Field(
        description="False accept rate that the threshold is calibrated for. Null if the request gave the "
        "threshold."
    )
    model: str = Field(description="Name of the embedder.")
    detector: str = Field(description="Name of the detector that found the faces.")


@dataclass(frozen=True)
class ImageFaces:
    """The faces of an image.

    Attributes:
        size: size of the image.
        faces: the faces.
        vectors: vectors of length 1 of the faces (n, d).
    """

    size: Size
    faces: list[Face]
    vectors: Float32[ndarray, "n d"]


class ClusterRun:
    """Finds faces in images one by one, and then their clusters. Several threads may call `read`.

    Args:
        operations: the operations on images.
        query: the parameters of the request.
        max_faces: maximum number of faces of all images together.

    Attributes:
        threshold: the threshold, and the false accept rate that it is calibrated for.
        model: name of the embedder.
        faces: number of faces that were read.

    Raises:
        UnknownModel: no loaded embedder has this name.
        BadParameter: the embedder does not compare vectors or has no calibrated threshold, or another
            parameter exceeds its limit.
    """

    def __init__(self, operations: Operations, query: ClusterQuery, max_faces: int) -> None:
        self._operations = operations
        self._detection = query.detection()
        self._detection.options(operations.limits.faces)
        self._embedder = operations.analyzer.embedder(query.model)
        self.model = self._embedder.spec.model
        contract_of(operations.analyzer, self.model)
        self.threshold = choose_threshold(self._embedder.spec, query.threshold, None)
        self._max_faces = max_faces
        self.faces = 0
        self._lock = threading.Lock()

    def read(
        self,
        upload: Upload,
        on_faces: Callable[[Callable[[], ImagePyramid], Faces], None] = lambda picture, faces: None,
    ) -> ImageFaces:
        """Return the faces of an image.

        Args:
            upload: the encoded image.
            on_faces: receives what returns the image, and its faces.

        Raises:
            BadParameter: the images have too many faces; see `check`.
        """
        self.check()
        timing = current_timing() or Timing()

        def count(faces: int) -> None:
            with self._lock:
                self.faces += faces
            self.check()

        found = self._operations.compared_faces(upload, self._detection, Wanted(self.model), count)
        faces = found.faces
        assert faces.embeddings is not None
        on_faces(found.picture, faces)
        timing.finish(len(faces))
        return ImageFaces(found.size, Face.all_of(replace(faces, embeddings=None)), faces.embeddings)

    def check(self) -> None:
        """Check that the images do not have too many faces.

        Raises:
            BadParameter: they have.
        """
        if self.faces > self._max_faces:
            raise BadParameter(
                f"The images have more than {self._max_faces} faces together. Send fewer images, set "
                "max_faces, or set a larger min_face_size.",
                "image",
            )

    def group(
        self, results: Sequence[ImageFaces | Problem], check: Callable[[], None] = lambda: None
    ) -> ClusterResponse:
        """Return the faces of all images in clusters.

        Args:
            results: the faces or the problem of each image.
            check: called repeatedly; an error that it raises ends the computation.
        """
        found = [one for one in results if isinstance(one, ImageFaces)]
        vectors = np.concatenate(
            [np.empty((0, self._embedder.spec.dimension), np.float32), *(one.vectors for one in found)]
        )
        images = np.repeat(np.arange(len(found)), [len(one.faces) for one in found])
        numbers = cluster(vectors, images, self.threshold.value, check)
        following = iter(numbers.tolist())
        return ClusterResponse(
            results=[
                one
                if isinstance(one, Problem)
                else ClusteredImage(
                    image=one.size, faces=[_in_cluster(f, next(following)) for f in one.faces]
                )
                for one in results
            ],
            clusters=int(numbers.max(initial=-1)) + 1,
            threshold=self.threshold.value,
            far=self.threshold.far,
            model=self.model,
            detector=self._operations.analyzer.detector(None).name,
        )


def _in_cluster(face: Face, number: int) -> ClusteredFace:
    return ClusteredFace(**dict(face), cluster=None if number < 0 else number)
