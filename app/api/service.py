"""What the routes share: the analyzer once it is ready, the workers, and the limits; and a request's turn."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import FacetError, NotReady
from app.pipeline.analyzer import Analyzer
from app.pipeline.executor import Executor, Place

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a request may ask for at most."""

    image_bytes: int
    image_pixels: int
    faces: int
    boxes: int
    batch_images: int = 16
    batch_bytes: int = 64 << 20

    def bytes_of(self, pictures: int) -> int:
        """The most bytes of so many pictures together."""
        return pictures * self.image_bytes


class Service:
    """The running service. Not ready until it was given a warm analyzer, and no more while it ends."""

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

    @property
    def ready(self) -> Analyzer:
        """The analyzer, while new work is taken. Raises NotReady otherwise."""
        if self.executor.draining:
            raise NotReady("The service is ending and takes no new work.")
        return self.analyzer

    def open(self, analyzer: Analyzer) -> None:
        """The analyzer is warm: requests are answered from now on."""
        self._analyzer = analyzer

    def admit(self, request: Request) -> "Turn":
        """A place for the request, before its body is read. Raises NotReady or Overloaded."""
        analyzer = self.analyzer
        return Turn(self, analyzer, self.executor.admit(), request)


class Turn:
    """A request that was admitted: what it may ask for, and the workers that do its jobs."""

    def __init__(self, service: Service, analyzer: Analyzer, place: Place, request: Request) -> None:
        self.limits = service.limits
        self.analyzer = analyzer
        self.workers = service.executor.workers
        self._executor = service.executor
        self._place = place
        self._request = request

    async def run(self, job: Callable[[Analyzer], T]) -> T:
        """What the job makes of the analyzer, from a worker thread; for a request with one job.

        Raises DeadlineExceeded, OutOfMemory, and ClientDisconnect as soon as the client has gone.
        """
        return await self.attend(self.submit(job))

    async def submit(self, job: Callable[[Analyzer], T]) -> T:
        """The same for one job of several, without looking whether the client is still there."""
        return await self._executor.run(self._place, lambda: job(self.analyzer))

    async def attend(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. It is cancelled when the client goes. The body must have been read."""
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._disconnect())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientDisconnect
            return working.result()
        finally:
            working.cancel()
            gone.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    async def _disconnect(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass

    def leave(self) -> None:
        """The request is answered."""
        self._place.leave()
