"""Several images in one request, without a service."""

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any, cast

from app.api.each_image import map_each
from app.errors import FacetError, NotAnImage
from app.runtime.request_context import RequestContext
from app.service.operations import Operations
from app.service.problems import Problem
from app.service.upload import Upload


class FakeService:
    """Runs each job at once."""

    admission = SimpleNamespace(workers=1, place=lambda context, large: None)
    limits = None

    async def run(self, context: RequestContext, job: Any, large: bool) -> Any:
        await asyncio.sleep(0)
        return job(None)


class FakeRequest:
    """A request of a client that stays connected."""

    url = SimpleNamespace(path="/cluster")
    scope: dict[str, Any] = {"root_path": ""}  # noqa: RUF012

    async def receive(self) -> dict[str, str]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}


def test_an_image_is_freed_when_it_is_done() -> None:
    uploads: list[Upload | FacetError] = [
        Upload(bytes(10)),
        Upload(bytes(20)),
        NotAnImage("No image.", "image"),
    ]
    known = [weakref.ref(upload) for upload in uploads[:2]]
    alive = []

    def work(_: Operations, upload: Upload) -> int:
        gc.collect()
        alive.append([ref() is not None for ref in known])
        return len(upload.image)

    found = asyncio.run(
        map_each(cast(Any, FakeRequest()), cast(Any, FakeService()), RequestContext(), uploads, work)
    )
    assert found[:2] == [10, 20]
    assert isinstance(found[2], Problem)
    assert uploads == []
    assert alive == [[True, True], [False, True]]
