"""The addresses that take pictures. Each route reads, calls and converts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api import accept, openapi, work
from app.api.deps import MediaDep, TurnDep, json_only
from app.api.params import DetectQuery, VerifyQuery
from app.api.reading import read_image, read_pair
from app.api.schemas import DetectResponse, EmbedResponse, LandmarksResponse, VerifyResponse

router = APIRouter(tags=["faces"], responses=openapi.PROBLEMS)


@router.post(
    "/detect", response_model=DetectResponse, responses=openapi.DRAWN, openapi_extra=openapi.one_picture()
)
async def detect(
    request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep, media: MediaDep
) -> Response:
    """The faces of a picture: boxes, scores and five points, by falling score."""
    upload = await read_image(request, turn.limits)
    body = await turn.run(lambda a: render(work.detect(a, turn.limits, upload, query), media))
    return Response(body, media_type=media, headers=_VARY)


@router.post(
    "/landmarks",
    response_model=LandmarksResponse,
    responses=openapi.DRAWN,
    openapi_extra=openapi.one_picture(boxes=True),
)
async def landmarks(
    request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep, media: MediaDep
) -> Response:
    """The landmarks of every face; `model` is the landmark model. With `boxes`, detection is skipped."""
    upload = await read_image(request, turn.limits, with_boxes=True)
    body = await turn.run(lambda a: render(work.landmarks(a, turn.limits, upload, query), media))
    return Response(body, media_type=media, headers=_VARY)


@router.post(
    "/embed",
    response_model=EmbedResponse,
    openapi_extra=openapi.one_picture(boxes=True),
    dependencies=[Depends(json_only)],
)
async def embed(request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep) -> Response:
    """A vector of length 1 for every face; `model` is the embedder. With `boxes`, detection is skipped."""
    upload = await read_image(request, turn.limits, with_boxes=True)
    body = await turn.run(lambda a: render(work.embed(a, turn.limits, upload, query), accept.JSON))
    return Response(body, media_type=accept.JSON)


@router.post(
    "/verify",
    response_model=VerifyResponse,
    openapi_extra=openapi.two_pictures(),
    dependencies=[Depends(json_only)],
)
async def verify(request: Request, query: Annotated[VerifyQuery, Query()], turn: TurnDep) -> Response:
    """Whether two pictures show one person: the largest face of each picture is compared.

    Of faces about as large (0.7 of the area or more) it is one that is clearly nearer the middle.
    """
    pair = await read_pair(request, turn.limits)
    answer = await turn.run(lambda a: work.verify(a, turn.limits, pair, query))
    return Response(answer.model_dump_json(), media_type=accept.JSON)


def render(seen: work.Seen, media: str) -> bytes:
    """The answer as JSON, or drawn on the picture."""
    if media == accept.PNG:
        return seen.drawn("png")
    if media == accept.JPEG:
        return seen.drawn("jpeg")
    return seen.response.model_dump_json().encode()


_VARY = {"Vary": "Accept"}
