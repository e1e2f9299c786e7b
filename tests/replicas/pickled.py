"""Replicas in this process: calls and answers are pickled, as on their way to other processes."""

import contextvars
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from app.errors import FacetError, NotReady
from app.main import create_app
from app.pipeline.analyzer import Analyzer
from app.replicas import front
from app.replicas.calls import Answer, Call, OperationName
from app.replicas.remote_operations import RemoteOperations
from app.runtime.request_context import RequestContext
from app.runtime.timing import Timing
from app.service.model_info import ModelsResponse
from app.service.operations import Operations
from app.settings import Settings
from app.wiring import limits_of
from tests.servers import client_of, serving


class PickledReplicas:
    """Perform calls in this process, but with nothing of the request except what is pickled.

    Args:
        operations: what a replica runs.

    Attributes:
        calls: the names of the operations that were called.
        is_lost: whether there is no replica any more.
        is_closed: whether the connection was ended.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.calls: list[OperationName] = []
        self.is_lost = False
        self.is_closed = False

    def call(self, operation: OperationName, arguments: tuple[Any, ...], context: RequestContext) -> Answer:
        """Return the answer; see `Replicas.call`."""
        self.check_ready()
        self.calls.append(operation)
        call: Call = pickle.loads(pickle.dumps(Call(operation, arguments)))
        answer: Answer = pickle.loads(pickle.dumps(contextvars.Context().run(self._answer, call)))
        return answer

    def models(self) -> ModelsResponse:
        """Return the information on the models."""
        return self._operations.models("all")

    def check_ready(self) -> None:
        """Check that there is a replica."""
        if self.is_lost:
            raise NotReady("There is no replica.")

    def close(self) -> None:
        """Note the end."""
        self.is_closed = True

    def _answer(self, call: Call) -> Answer:
        timing = Timing(RequestContext())
        timing.begin_job()
        try:
            return call.perform(self._operations)
        except FacetError as error:
            return Answer(error=error)


@contextmanager
def with_replicas(settings: Settings, analyzer: Analyzer) -> Iterator[tuple[httpx.Client, PickledReplicas]]:
    """Run a service whose operations run in such replicas.

    Args:
        settings: the settings of the service.
        analyzer: the models of the front and of the replicas.

    Yields:
        A client of the service, and the replicas.
    """
    limits = limits_of(settings)
    replicas = PickledReplicas(Operations(analyzer, limits))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front, "remote_operations", lambda _: RemoteOperations(analyzer, limits, replicas))
        app = create_app(settings.model_copy(update={"ray_address": "local"}))
        with serving(app) as url, client_of(url, 60) as client:
            yield client, replicas


@contextmanager
def without_replicas(settings: Settings, analyzer: Analyzer) -> Iterator[httpx.Client]:
    """Run a service that runs its models itself.

    Yields:
        A client of the service.
    """
    with serving(create_app(settings, analyzer)) as url, client_of(url, 60) as client:
        yield client
