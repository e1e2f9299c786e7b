"""The routes for one or two pictures. Each reads the body, runs an operation and converts its result."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api import openapi
from app.api.content_negotiation import JPEG, JSON, PNG
from app.api.dependencies import ContextDep, MediaDep, ServiceDep, json_only, while_connected
from app.api.request_body import read_image, read_pair
from app.service.operations import ImageResult
from app.service.requests import DetectQuery, VerifyQuery
from app.service.responses import DetectResponse, EmbedResponse, LandmarksResponse, VerifyResponse

router = APIRouter(tags=["faces"], responses=openapi.PROBLEMS)

_VARY = {"Vary": "Accept"}


@router.post(
    "/detect", response_model=DetectResponse, responses=openapi.DRAWN, openapi_extra=openapi.one_picture()
)
async def detect(
    request: Request,
    query: Annotated[DetectQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
    media: MediaDep,
) -> Response:
    """Return the faces of a picture: boxes, scores and five points, by descending score."""
    upload = await read_image(request, service.limits)
    work = service.run(context, lambda operations: render(operations.detect(upload, query), media))
    return Response(await while_connected(request, work), media_type=media, headers=_VARY)


@router.post(
    "/landmarks",
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
    """Return the landmarks of every face; `model` names the landmark model. `boxes` skips detection."""
    upload = await read_image(request, service.limits, with_boxes=True)
    work = service.run(context, lambda operations: render(operations.landmarks(upload, query), media))
    return Response(await while_connected(request, work), media_type=media, headers=_VARY)


@router.post(
    "/embed",
    response_model=EmbedResponse,
    openapi_extra=openapi.one_picture(boxes=True),
    dependencies=[Depends(json_only)],
)
async def embed(
    request: Request, query: Annotated[DetectQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return a unit vector for every face; `model` names the embedder. `boxes` skips detection."""
    upload = await read_image(request, service.limits, with_boxes=True)
    work = service.run(context, lambda operations: render(operations.embed(upload, query), JSON))
    return Response(await while_connected(request, work), media_type=JSON)


@router.post(
    "/verify",
    response_model=VerifyResponse,
    openapi_extra=openapi.two_pictures(),
    dependencies=[Depends(json_only)],
)
async def verify(
    request: Request, query: Annotated[VerifyQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return whether two pictures show the same person: the largest face of each picture is compared.

    Among similarly large faces (0.7 of the area or more) the one that is clearly more central is compared.
    """
    pair = await read_pair(request, service.limits)
    answer = await while_connected(request, service.run(context, lambda o: o.verify(pair, query)))
    return Response(answer.model_dump_json(), media_type=JSON)


def render(result: ImageResult, media: str) -> bytes:
    """Return the answer as JSON, or drawn on the picture."""
    if media == PNG:
        return result.drawn("png")
    if media == JPEG:
        return result.drawn("jpeg")
    return result.response.model_dump_json().encode()
