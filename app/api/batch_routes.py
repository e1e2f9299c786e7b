"""The routes for several images. Each image gets the result that it would get alone, or its own problem."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from app.api import openapi
from app.api.batch_body import read_batch
from app.api.dependencies import ContextDep, ServiceDep, json_only, single_parameters
from app.api.each_image import run_each
from app.runtime.request_context import RequestContext
from app.service import problems
from app.service.face_service import FaceService
from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery
from app.service.responses import DetectResponse, EmbedResponse, LandmarksResponse
from app.service.upload import Upload

router = APIRouter(
    tags=["batches"],
    responses=openapi.PROBLEMS,
    dependencies=[Depends(single_parameters), Depends(json_only)],
)

Operation = Callable[[Upload, DetectQuery], ImageResult]
"""A method of `Operations`."""

_ANSWER = "The result or the problem of each image."
_RESULTS = Field(description="For each image, in the order of the request, its result or its problem.")


class DetectBatch(BaseModel):
    """The results of `/detect` for several images."""

    results: list[DetectResponse | problems.Problem] = _RESULTS


class LandmarksBatch(BaseModel):
    """The results of `/landmarks` for several images."""

    results: list[LandmarksResponse | problems.Problem] = _RESULTS


class EmbedBatch(BaseModel):
    """The results of `/embed` for several images."""

    results: list[EmbedResponse | problems.Problem] = _RESULTS


@router.post(
    "/detect/batch",
    summary="Detect faces in several images",
    response_model=DetectBatch,
    response_description=_ANSWER,
    openapi_extra=openapi.many_pictures(),
)
async def detect(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the results of `/detect` for several images. An image that fails gets a problem instead."""
    service.analyzer.detector(query.model)
    return await _answer(request, query, service, context, lambda operations: operations.detect)


@router.post(
    "/landmarks/batch",
    summary="Find landmarks in several images",
    response_model=LandmarksBatch,
    response_description=_ANSWER,
    openapi_extra=openapi.many_pictures(),
)
async def landmarks(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the results of `/landmarks` for several images. An image that fails gets a problem instead."""
    service.analyzer.landmarker(query.model)
    return await _answer(request, query, service, context, lambda operations: operations.landmarks)


@router.post(
    "/embed/batch",
    summary="Compute embeddings in several images",
    response_model=EmbedBatch,
    response_description=_ANSWER,
    openapi_extra=openapi.many_pictures(),
)
async def embed(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the results of `/embed` for several images. An image that fails gets a problem instead."""
    service.analyzer.embedder(query.model)
    return await _answer(request, query, service, context, lambda operations: operations.embed)


async def _answer(
    request: Request,
    query: DetectQuery,
    service: FaceService,
    context: RequestContext,
    choose: Callable[[Operations], Operation],
) -> Response:
    """Return the response with the result of an operation on each image.

    Args:
        request: the request.
        query: its parameters.
        service: the service.
        context: the context of the request.
        choose: returns the operation of the given operations, which may be those of replicas.
    """
    query.options(service.limits.faces)  # invalid parameters fail the whole request, before its body is read
    uploads = await read_batch(request, service.limits)
    return await run_each(
        request,
        service,
        context,
        uploads,
        lambda operations, upload: choose(operations)(upload, query).response,
    )
