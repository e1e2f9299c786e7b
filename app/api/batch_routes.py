"""The routes for several pictures. Each picture gets the answer it would get alone, or its own problem."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from app.api import openapi
from app.api.content_negotiation import JSON
from app.api.dependencies import ContextDep, ServiceDep, json_only, while_connected
from app.api.request_body import read_batch
from app.errors import FacetError, TooManyBytes
from app.runtime.request_context import RequestContext
from app.service import problems
from app.service.face_service import FaceService
from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery
from app.service.responses import DetectResponse, EmbedResponse, LandmarksResponse
from app.service.upload import Upload

router = APIRouter(tags=["batches"], responses=openapi.PROBLEMS, dependencies=[Depends(json_only)])

Operation = Callable[[Operations, Upload, DetectQuery], ImageResult]


class DetectBatch(BaseModel):
    """The faces of each picture, or its problem, in the order of the pictures."""

    results: list[DetectResponse | problems.Problem]


class LandmarksBatch(BaseModel):
    """The faces of each picture with landmarks, or its problem, in the order of the pictures."""

    results: list[LandmarksResponse | problems.Problem]


class EmbedBatch(BaseModel):
    """The faces of each picture with embeddings, or its problem, in the order of the pictures."""

    results: list[EmbedResponse | problems.Problem]


@router.post("/detect/batch", response_model=DetectBatch, openapi_extra=openapi.many_pictures())
async def detect(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the answers of `/detect` for several pictures; an invalid picture has a problem instead."""
    service.analyzer.detector(query.model)
    return await _answer(request, query, service, context, Operations.detect)


@router.post("/landmarks/batch", response_model=LandmarksBatch, openapi_extra=openapi.many_pictures())
async def landmarks(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the answers of `/landmarks` for several pictures; an invalid picture has a problem instead."""
    service.analyzer.landmarker(query.model)
    return await _answer(request, query, service, context, Operations.landmarks)


@router.post("/embed/batch", response_model=EmbedBatch, openapi_extra=openapi.many_pictures())
async def embed(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the answers of `/embed` for several pictures; an invalid picture has a problem instead."""
    service.analyzer.embedder(query.model)
    return await _answer(request, query, service, context, Operations.embed)


async def _answer(
    request: Request, query: DetectQuery, service: FaceService, context: RequestContext, operation: Operation
) -> Response:
    """Run the operation on each picture; at most one picture per worker thread is queued at a time.

    Other requests get their turn between the pictures of a batch.
    """
    limits = service.limits
    query.options(limits.faces)  # invalid parameters fail the whole request, before any work
    uploads = await read_batch(request, limits)
    room = asyncio.Semaphore(service.admission.workers)

    async def one(upload: Upload | TooManyBytes) -> bytes:
        try:
            if isinstance(upload, TooManyBytes):
                raise upload
            async with room:
                return await service.run(context, lambda o: _json(operation(o, upload, query).response))
        except FacetError as error:
            return _json(problems.of_error(error, limits, request.url.path), exclude_none=True)

    async def every() -> list[bytes]:
        return await asyncio.gather(*(one(upload) for upload in uploads))

    body = b'{"results":[' + b",".join(await while_connected(request, every())) + b"]}"
    return Response(body, media_type=JSON)


def _json(answer: BaseModel, exclude_none: bool = False) -> bytes:
    return answer.model_dump_json(exclude_none=exclude_none).encode()
