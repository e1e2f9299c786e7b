"""The running service: its state, its limits, and the worker threads that run the operations."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from app.errors import FacetError, GalleryUnavailable, NotReady, OutOfMemory
from app.gallery.gallery import SWITCHED_OFF, Gallery
from app.pipeline.analyzer import Analyzer
from app.runtime.admission import Admission
from app.runtime.request_context import RequestContext
from app.service.gallery_operations import GalleryOperations
from app.service.limits import Limits
from app.service.model_info import Weights
from app.service.operations import Operations

T = TypeVar("T")


class FaceService:
    """The service without HTTP. It is not ready before `open` is called, and while it stops.

    Args:
        limits: limits on requests.
        admission: the worker threads and the queue in front of them.
        weights: which weights may be used, see FACE_WEIGHTS.
        small_request_bytes: memory that a request with a small image needs, including that of its nets. The
            service is not ready without it.

    Attributes:
        limits: limits on requests.
        admission: the worker threads and the queue in front of them.
        weights: which weights may be used, `all` or `free`.
        failure: the error that made the start fail, or None.
        is_degraded: whether fewer worker processes are ready than are wanted. This one serves nevertheless.
    """

    def __init__(
        self,
        limits: Limits,
        admission: Admission,
        weights: Weights = "all",
        small_request_bytes: int = 16 << 20,
    ) -> None:
        self.limits = limits
        self.weights = weights
        self.admission = admission
        self.failure: FacetError | None = None
        self.is_degraded = False
        self._small_request_bytes = small_request_bytes
        self._operations: Operations | None = None
        self._gallery_operations: GalleryOperations | None = None

    def open(self, operations: Operations, gallery: Gallery | None = None) -> None:
        """Accept requests from now on.

        Args:
            operations: the operations, whose models are warm.
            gallery: the gallery; None if it is switched off.
        """
        if gallery is not None:
            self._gallery_operations = GalleryOperations(operations, gallery)
        self._operations = operations

    @property
    def operations(self) -> Operations:
        """The operations on the loaded models.

        Raises:
            NotReady: the models are still loading or warming up.
        """
        if self._operations is None:
            raise NotReady("The models are still loading and warming up; try again in a moment.")
        return self._operations

    @property
    def in_gallery(self) -> GalleryOperations:
        """The operations of the gallery.

        Raises:
            NotReady: the models are still loading or warming up.
            GalleryUnavailable: the gallery is switched off.
        """
        _ = self.operations
        if self._gallery_operations is None:
            raise GalleryUnavailable(SWITCHED_OFF)
        return self._gallery_operations

    @property
    def used_gallery(self) -> Gallery | None:
        """The gallery if it is in use; None if nothing has opened it, or if it is switched off."""
        operations = self._gallery_operations
        return operations.gallery if operations is not None and operations.gallery.is_used else None

    @property
    def lacks_gallery(self) -> bool:
        """Whether the gallery is in use, and its store could not be read within the last seconds."""
        gallery = self.used_gallery
        return gallery is not None and gallery.is_available is False

    @property
    def gallery(self) -> Gallery:
        """The gallery; see `in_gallery` for the errors."""
        return self.in_gallery.gallery

    @property
    def analyzer(self) -> Analyzer:
        """The analyzer, which owns the loaded models.

        Raises:
            NotReady: the models are still loading or warming up.
        """
        return self.operations.analyzer

    def close(self) -> None:
        """Close the gallery and the operations. No job may run any more."""
        if self._operations is not None:
            self._operations.close()
        if self._gallery_operations is not None:
            self._gallery_operations.gallery.close()

    def check_ready(self) -> None:
        """Check that the service accepts new requests.

        Raises:
            NotReady: the service is starting or stopping, or nothing can run its models.
            OutOfMemory: there is not enough memory for a request with a small image.
        """
        if self.admission.stopping:
            raise NotReady("The service is stopping. Send new requests later, or to another replica.")
        self.operations.check_ready()
        try:
            np.empty(self._small_request_bytes, np.uint8)  # reserves the memory, but does not touch it
        except MemoryError:
            raise OutOfMemory("There is not enough memory for requests with small images.") from None

    def admit(self) -> RequestContext:
        """Admit a request, before its body is read.

        Returns:
            The context of the request. It occupies a slot until `Admission.release`.

        Raises:
            NotReady: the service is starting or stopping.
            Overloaded: all slots are occupied.
        """
        _ = self.operations
        return self.admission.admit()

    async def run(self, context: RequestContext, job: Callable[[Operations], T], large: bool = False) -> T:
        """Run a job on a worker thread; see `Admission.run` for the errors.

        Args:
            context: the context that `admit` returned.
            job: the work. It gets the operations.
            large: whether the job is one of many, so that other requests come before it.

        Returns:
            The result of the job.
        """
        return await self.admission.run(context, partial(job, self.operations), large)
