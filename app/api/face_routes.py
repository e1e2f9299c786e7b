"""The routes for one or two images: read the body, run the operation, convert the result."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api import openapi
from app.api.content_negotiation import JPEG, JSON, PNG
from app.api.dependencies import (
    ContextDep,
    MediaDep,
    ServiceDep,
    json_only,
    single_parameters,
    while_connected,
)
from app.api.request_body import read_image, read_pair
from app.service.operations import ImageResult
from app.service.requests import DetectQuery, VerifyQuery
from app.service.responses import DetectResponse, EmbedResponse, LandmarksResponse, VerifyResponse

router = APIRouter(tags=["faces"], responses=openapi.PROBLEMS, dependencies=[Depends(single_parameters)])

_VARY = {"Vary": "Accept"}


@router.post(
    "/detect",
    summary="Detect faces",
    response_model=DetectResponse,
    responses=openapi.DRAWN,
    openapi_extra=openapi.one_picture(),
)
async def detect(
    request: Request,
    query: Annotated[DetectQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
    media: MediaDep,
) -> Response:
    """Return the box, the score and the five points of every face in an image, by descending score.

    `model` names a detector.
    """
    upload = await read_image(request, service.limits)
    work = service.run(context, lambda operations: render(operations.detect(upload, query), media))
    return Response(await while_connected(request, work), media_type=media, headers=_VARY)


@router.post(
    "/landmarks",
    summary="Find landmarks",
    response_model=LandmarksResponse,
    responses=openapi.DRAWN,
    openapi_extra=openapi.one_picture(boxes=True),
)
async def landmarks(
    request: Request,
    query: Annotated[DetectQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
    media: MediaDep,
) -> Response:
    """Return the landmarks of every face in an image, or of the faces in the given `boxes`.

    `model` names a landmark model.
    """
    upload = await read_image(request, service.limits, with_boxes=True)
    work = service.run(context, lambda operations: render(operations.landmarks(upload, query), media))
    return Response(await while_connected(request, work), media_type=media, headers=_VARY)


@router.post(
    "/embed",
    summary="Compute embeddings",
    response_model=EmbedResponse,
    response_description="The faces with their embeddings.",
    openapi_extra=openapi.one_picture(boxes=True),
    dependencies=[Depends(json_only)],
)
async def embed(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the embedding of every face in an image, or of the faces in the given `boxes`.

    An embedding is a vector of length 1. `model` names an embedder.
    """
    upload = await read_image(request, service.limits, with_boxes=True)
    work = service.run(context, lambda operations: render(operations.embed(upload, query), JSON))
    return Response(await while_connected(request, work), media_type=JSON)


@router.post(
    "/verify",
    summary="Compare two faces",
    response_model=VerifyResponse,
    response_description="The similarity of the two faces, and whether it reaches the threshold.",
    openapi_extra=openapi.two_pictures(),
    dependencies=[Depends(json_only)],
)
async def verify(
    request: Request, query: Annotated[VerifyQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return whether the largest faces of two images are the same person.

    If other faces of an image have at least 0.7 of the area of the largest one and one of them is clearly
    more central, the more central face is used. `model` names an embedder.
    """
    pair = await read_pair(request, service.limits)
    answer = await while_connected(request, service.run(context, lambda o: o.verify(pair, query)))
    return Response(answer.model_dump_json(), media_type=JSON)


def render(result: ImageResult, media: str) -> bytes:
    """Return the body of a response: the result as JSON, or the image with the result drawn on it.

    Args:
        result: the result.
        media: `application/json`, `image/png` or `image/jpeg`.

    Raises:
        BadParameter: a side of the image is longer than the image format allows.
    """
    if media == PNG:
        return result.drawn("png")
    if media == JPEG:
        return result.drawn("jpeg")
    return result.response.model_dump_json().encode()
