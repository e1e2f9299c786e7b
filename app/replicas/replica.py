"""A replica: one process with all models on one device. Ray Serve starts and replaces it."""

import logging
import pickle
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from app.errors import BadModel, FacetError
from app.pipeline.warmup import WarmUp, warm_up
from app.replicas.calls import Answer, Call
from app.runtime.admission import Admission
from app.runtime.process_limits import require_threads
from app.runtime.spans import Span
from app.service.face_service import FaceService
from app.service.model_info import ModelsResponse, version
from app.service.operations import Operations
from app.settings import Settings
from app.wiring import limits_of, load_analyzer, model_threads, tracer_of


@dataclass(frozen=True)
class ReplicaPlan:
    """What the replicas are. It is sent to each.

    Attributes:
        version: version of Facet.
        settings: the settings of the front that matter to a replica, by name, as `Settings` takes them.
        threads: number of images that are processed at the same time.
        weights: SHA-256 of the weights of each model, by name.
        count: minimum and maximum number of replicas.
        cpus: CPUs that Ray reserves for each.
        gpus: GPUs that Ray reserves for each, possibly a fraction.
    """

    version: str
    settings: dict[str, Any]
    threads: int
    weights: dict[str, str]
    count: tuple[int, int] = (1, 1)
    cpus: int = 1
    gpus: float = 0


class AnalyzerReplica:
    """A whole pipeline on one device, which processes whole images.

    Ray constructs it in a process of its own, and passes the calls of all fronts to `run`.

    Args:
        plan: what the replica is.

    Raises:
        FacetError: the models cannot be loaded, or they are not those of the front.
    """

    def __init__(self, plan: ReplicaPlan) -> None:
        logging.basicConfig(level=logging.WARNING)
        self._plan = plan
        settings = Settings(**plan.settings)
        if plan.version != version():
            raise BadModel(
                f"This machine has version {version()} of Facet, and the front {plan.version}. Install the "
                "same version on all machines."
            )
        require_threads(model_threads(settings) + plan.threads)
        # The front limits how many calls there are, so a queue of any length is short enough here.
        admission = Admission(plan.threads, queue=1 << 20)
        self._service = FaceService(limits_of(settings), admission, settings.weights)
        self._tracer = tracer_of(settings, plan.version)
        runs = WarmUp()
        try:
            analyzer = load_analyzer(settings, opened=runs.begin)
            warm_up(analyzer, runs)
        finally:
            runs.close()
        self._service.open(Operations(analyzer, self._service.limits))
        if weights_of(self.models()) != plan.weights:
            raise BadModel(
                "This machine has other models than the front. Install the same models on all machines."
            )

    async def run(self, call: bytes) -> bytes:
        """Return the answer to a call; both are pickled, which takes less time than what Ray does.

        Args:
            call: a `Call`.

        Returns:
            An `Answer`.
        """
        return pickle.dumps(await self.answer(pickle.loads(call)))

    async def answer(self, call: Call) -> Answer:
        """Return the answer to a call. If it is cancelled, its job ends at its next stage."""
        admission = self._service.admission
        try:
            with self._span(call):
                context = self._service.admit()
                try:
                    if call.timeout_s is not None:
                        context.deadline = time.monotonic() + call.timeout_s
                    return await self._service.run(context, call.perform)
                finally:
                    admission.release(context)
        except FacetError as error:
            return Answer(error=error)

    def plan(self) -> ReplicaPlan:
        """Return what this replica is."""
        return self._plan

    def models(self) -> ModelsResponse:
        """Return the information on the models of this replica."""
        return self._service.operations.models(self._service.weights)

    async def check_health(self) -> None:
        """Check that this process answers and has memory. Ray Serve replaces a replica that does not.

        Raises:
            OutOfMemory: there is not enough memory for a request with a small image.
        """
        self._service.check_ready()

    def _span(self, call: Call) -> AbstractContextManager[Span | None]:
        if self._tracer is None or not call.trace:
            return nullcontext()
        return self._tracer.request(f"replica {call.operation}", call.trace)


def weights_of(models: ModelsResponse) -> dict[str, str]:
    """Return the SHA-256 of the float weights of each model by name: equal ones give comparable results."""
    return {model.name: model.sha256 for model in models.models}
