"""The running service: its state, its limits, and the worker threads that run its operations."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from app.errors import FacetError, NotReady
from app.pipeline.analyzer import Analyzer
from app.runtime.admission import Admission
from app.runtime.request_context import RequestContext
from app.service.limits import Limits
from app.service.operations import Operations

T = TypeVar("T")


class FaceService:
    """Not ready until `open` was called with a warm analyzer, and while it stops.

    Attributes:
        limits: maxima for requests.
        admission: worker threads and the queue in front of them.
        failure: why the start failed, if it did.
    """

    def __init__(self, limits: Limits, admission: Admission) -> None:
        self.limits = limits
        self.admission = admission
        self.failure: FacetError | None = None
        self._operations: Operations | None = None

    def open(self, analyzer: Analyzer) -> None:
        """Answer requests from now on with this analyzer."""
        self._operations = Operations(analyzer, self.limits)

    @property
    def operations(self) -> Operations:
        """The operations. Raises NotReady while the models load and warm up."""
        if self._operations is None:
            raise NotReady("The models are still loading and warming up; try again in a moment.")
        return self._operations

    @property
    def analyzer(self) -> Analyzer:
        """The loaded models. Raises NotReady while they load and warm up."""
        return self.operations.analyzer

    def check_ready(self) -> None:
        """Raise NotReady unless new requests are accepted."""
        if self.admission.draining:
            raise NotReady("The service is stopping and accepts no new requests.")
        _ = self.operations

    def admit(self) -> RequestContext:
        """Return the context of an admitted request, before its body is read.

        Raises:
            NotReady: the service is starting or stopping.
            Overloaded: all slots are occupied.
        """
        _ = self.operations
        return self.admission.admit()

    async def run(self, context: RequestContext, job: Callable[[Operations], T]) -> T:
        """Run a job on a worker thread and return its result. Raises what `Admission.run` does."""
        return await self.admission.run(context, partial(job, self.operations))
