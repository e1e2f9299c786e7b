"""What a front and its replicas send to each other: whole images there, faces back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.errors import FacetError
from app.runtime.timing import Timing, current_timing
from app.service.compared_faces import ComparedFaces
from app.service.operations import ImageResult, Operations

OperationName = Literal["detect", "landmarks", "embed", "verify", "compared_faces"]


@dataclass(frozen=True)
class Answer:
    """What a replica answers. Expected errors are values, because Ray wraps exceptions in long reports.

    Attributes:
        value: the result of the operation, without the decoded image; None if there is an error.
        ms: milliseconds by stage, see `Timing.ms`.
        error: why there is no result.
    """

    value: Any = None
    ms: Mapping[str, float] = field(default_factory=dict)
    error: FacetError | None = None


@dataclass(frozen=True)
class Call:
    """A call of an operation.

    Attributes:
        operation: name of the method of `Operations`.
        arguments: its arguments.
        timeout_s: seconds after which nobody waits for the answer any more; None for no limit. It is no point
            in time, because the clocks of two machines differ.
        trace: the headers that name the current span, see `spans.trace_headers`.
    """

    operation: OperationName
    arguments: tuple[Any, ...]
    timeout_s: float | None = None
    trace: tuple[tuple[bytes, bytes], ...] = ()

    def perform(self, operations: Operations) -> Answer:
        """Return the answer. Errors are passed on, because a job may be started again."""
        timing = current_timing() or Timing()
        value = getattr(operations, self.operation)(*self.arguments)
        if isinstance(value, ImageResult):
            value = value.response, value.faces
        elif isinstance(value, ComparedFaces):
            value = value.size, value.faces
        return Answer(value, dict(timing.ms))
