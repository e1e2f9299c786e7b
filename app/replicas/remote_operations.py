"""The operations of a front: replicas run them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from app.pipeline.analyzer import Analyzer
from app.replicas.calls import Answer, OperationName
from app.runtime.request_context import RequestContext
from app.runtime.timing import TOTAL, Timing, current_timing
from app.service.compared_faces import ComparedFaces, Wanted
from app.service.limits import Limits
from app.service.model_info import ModelsResponse, Weights
from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery, VerifyQuery
from app.service.responses import VerifyResponse, rounded
from app.service.upload import Upload
from app.vision import image as images
from app.vision.pyramid import Image, ImagePyramid

STAGE = "replica"
"""Stage of the time between front and replica: sending, and waiting for a replica."""


class Replicas(Protocol):
    """Replicas that run operations. Its methods may be called from any thread."""

    def call(self, operation: OperationName, arguments: tuple[Any, ...], context: RequestContext) -> Answer:
        """Return the answer of a replica.

        Args:
            operation: name of the operation.
            arguments: its arguments.
            context: the request, whose end also ends the call.

        Raises:
            NotReady: no replica answers.
            DeadlineExceeded: no replica has answered in time.
            FacetError: the error with which the request was cancelled.
        """

    def models(self) -> ModelsResponse:
        """Return the information on the models of a replica."""

    def check_ready(self) -> None:
        """Check that there is a replica.

        Raises:
            NotReady: there is none.
        """

    def close(self) -> None:
        """End the connection. No call may run any more."""


class RemoteOperations(Operations):
    """Operations that replicas run. Each image is sent once, and not decoded here unless it is drawn on.

    The models of this process are there for their names, thresholds and contracts; they run on no image.

    Args:
        analyzer: the same models as those of the replicas.
        limits: limits on requests.
        replicas: run the operations.
    """

    def __init__(self, analyzer: Analyzer, limits: Limits, replicas: Replicas) -> None:
        super().__init__(analyzer, limits)
        self._replicas = replicas

    def detect(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image; see `Operations.detect`."""
        return self._image_result("detect", upload, query)

    def landmarks(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image with landmarks; see `Operations.landmarks`."""
        return self._image_result("landmarks", upload, query)

    def embed(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image with embeddings; see `Operations.embed`."""
        return self._image_result("embed", upload, query)

    def verify(self, pair: tuple[bytes, bytes], query: VerifyQuery) -> VerifyResponse:
        """Return whether two faces are of one person; see `Operations.verify`."""
        timing = current_timing() or Timing()
        response: VerifyResponse = self._call("verify", (pair, query), timing)
        return response.model_copy(update={"timing_ms": rounded(timing.finish(2))})

    def compared_faces(
        self,
        upload: Upload,
        query: DetectQuery,
        wanted: Wanted,
        on_found: Callable[[int], None] = lambda faces: None,
    ) -> ComparedFaces:
        """Return faces of an image with embeddings; see `Operations.compared_faces`."""
        timing = current_timing() or Timing()
        size, faces = self._call("compared_faces", (upload, query, wanted), timing)
        on_found(len(faces))
        return ComparedFaces(size, faces, lambda: ImagePyramid(self._decode(upload)))

    def models(self, weights: Weights) -> ModelsResponse:
        """Return the information on the models of a replica, which may run on another device."""
        return self._replicas.models()

    def check_ready(self) -> None:
        """Check that there is a replica.

        Raises:
            NotReady: there is none.
        """
        self._replicas.check_ready()

    def close(self) -> None:
        """End the connection to the replicas. No operation may run any more."""
        self._replicas.close()

    def _image_result(self, operation: OperationName, upload: Upload, query: DetectQuery) -> ImageResult:
        timing = current_timing() or Timing()
        response, faces = self._call(operation, (upload, query), timing)
        timed = response.model_copy(update={"timing_ms": rounded(timing.finish(len(faces)))})
        return ImageResult(timed, faces, partial(self._decode, upload))

    def _call(self, operation: OperationName, arguments: tuple[Any, ...], timing: Timing) -> Any:
        """Return the result of an operation, and add the times of its stages to `timing`."""
        with timing.stage(STAGE):
            answer = self._replicas.call(operation, arguments, timing.context or RequestContext())
        if answer.error is not None:
            raise answer.error
        timing.split(STAGE, {name: ms for name, ms in answer.ms.items() if name != TOTAL})
        return answer.value

    def _decode(self, upload: Upload) -> Image:
        return images.decode(upload.image, self.limits.image_pixels, "image")
