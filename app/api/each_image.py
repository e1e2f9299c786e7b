"""Several images in one request: each gets the result that it would get alone, or its own problem."""

import asyncio
from collections.abc import Callable, Sequence

from fastapi import Request, Response
from pydantic import BaseModel

from app.api.content_negotiation import JSON
from app.api.dependencies import while_connected
from app.api.problem_handlers import root_path
from app.errors import FacetError
from app.runtime.request_context import RequestContext
from app.service import problems
from app.service.face_service import FaceService
from app.service.operations import Operations
from app.service.upload import Upload


async def run_each(
    request: Request,
    service: FaceService,
    context: RequestContext,
    uploads: Sequence[Upload | FacetError],
    operation: Callable[[Operations, Upload], BaseModel],
) -> Response:
    """Return the response with the result of an operation on each image, in order.

    The images of a batch run as large jobs, so that other requests run beside them. At most one image per
    worker thread is queued at a time, so that batches take turns.

    Args:
        request: the request, whose body has been read.
        service: the service.
        context: the context of the request.
        uploads: the images, or the errors that they had before.
        operation: the operation on one image.
    """
    room = asyncio.Semaphore(service.admission.workers)

    async def one(upload: Upload | FacetError) -> bytes:
        try:
            if isinstance(upload, FacetError):
                raise upload
            async with room:
                return await service.run(
                    context,
                    lambda operations: _json(operation(operations, upload)),
                    large=len(uploads) > 1,
                )
        except FacetError as error:
            problem = problems.of_error(error, service.limits, request.url.path)
            return _json(problem.under(root_path(request.scope)), exclude_none=True)

    async def every() -> list[bytes]:
        return await asyncio.gather(*(one(upload) for upload in uploads))

    body = b'{"results":[' + b",".join(await while_connected(request, every())) + b"]}"
    return Response(body, media_type=JSON)


def _json(answer: BaseModel, exclude_none: bool = False) -> bytes:
    return answer.model_dump_json(exclude_none=exclude_none).encode()
