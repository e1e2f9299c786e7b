"""What the routes share: the analyzer once it is ready, the workers, and the limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import FacetError, NotReady
from app.pipeline.analyzer import Analyzer
from app.pipeline.executor import Executor

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    image_bytes: int
    image_pixels: int
    faces: int
    boxes: int

    def bytes_of(self, pictures: int) -> int:
        """The most bytes of so many pictures together."""
        return pictures * self.image_bytes


class Service:
    """The running service. Not ready until it was given a warm analyzer."""

    def __init__(self, limits: Limits, executor: Executor) -> None:
        self.limits = limits
        self.executor = executor
        self.failure: FacetError | None = None
        self._analyzer: Analyzer | None = None

    @property
    def analyzer(self) -> Analyzer:
        """Raises NotReady while the models load and warm up."""
        if self._analyzer is None:
            raise NotReady("The models are still loading and warming up; try again in a moment.")
        return self._analyzer

    def open(self, analyzer: Analyzer) -> None:
        """The analyzer is warm: requests are answered from now on."""
        self._analyzer = analyzer

    async def run(self, job: Callable[[Analyzer], T]) -> T:
        """What the job makes of the analyzer, from a worker thread. Raises NotReady or Overloaded."""
        analyzer = self.analyzer
        return await self.executor.run(lambda: job(analyzer))
