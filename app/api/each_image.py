"""Several images in one request: each gets the result that it would get alone, or its own problem."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from app.api.content_negotiation import JSON
from app.api.dependencies import while_connected
from app.api.problem_handlers import root_path
from app.errors import FacetError, Overloaded
from app.runtime import spans
from app.runtime.request_context import RequestContext
from app.service import problems
from app.service.face_service import FaceService
from app.service.operations import Operations
from app.service.problems import Problem
from app.service.upload import Upload

T = TypeVar("T")


async def run_each(
    request: Request,
    service: FaceService,
    context: RequestContext,
    uploads: list[Upload | FacetError],
    operation: Callable[[Operations, Upload], BaseModel],
) -> Response:
    """Return the response with the result of an operation on each image, in order; see `map_each`."""

    def as_json(operations: Operations, upload: Upload) -> bytes:
        return operation(operations, upload).model_dump_json().encode()

    results = await map_each(request, service, context, uploads, as_json)
    rows = (
        one if isinstance(one, bytes) else one.model_dump_json(exclude_none=True).encode() for one in results
    )
    return Response(b'{"results":[' + b",".join(rows) + b"]}", media_type=JSON)


async def map_each(
    request: Request,
    service: FaceService,
    context: RequestContext,
    uploads: list[Upload | FacetError],
    operation: Callable[[Operations, Upload], T],
) -> list[T | Problem]:
    """Return the result of an operation on each image, or its problem, in order.

    The images of a batch run as large jobs, so that other requests run beside them. At most one image per
    worker thread is queued at a time, so that batches take turns.

    Args:
        request: the request, whose body has been read.
        service: the service.
        context: the context of the request.
        uploads: the images, or the errors that they had before. The list is emptied, so that each image is
            freed when it is done.
        operation: the operation on one image.

    Raises:
        Overloaded: the request gets no place. No image has been read.
    """
    room = asyncio.Semaphore(service.admission.workers)
    large = len(uploads) > 1
    if not all(isinstance(upload, FacetError) for upload in uploads):
        service.admission.place(context, large)

    async def one(upload: Upload | FacetError) -> T | Problem:
        try:
            if isinstance(upload, FacetError):
                raise upload
            async with room:
                with spans.span("image"):
                    return await service.run(context, lambda operations: operation(operations, upload), large)
        except Overloaded:
            raise  # for a single image that turned out to be large; a batch has its place already
        except FacetError as error:
            problem = problems.of_error(error, service.limits, request.url.path)
            return problem.under(root_path(request.scope))

    async def every() -> list[T | Problem]:
        work = [asyncio.ensure_future(one(upload)) for upload in uploads]
        uploads.clear()
        return await asyncio.gather(*work)

    return await while_connected(request, every())
