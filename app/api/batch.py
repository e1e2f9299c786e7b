"""Several pictures in one request: each is answered as it would be alone, or has a problem of its own."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from app.api import accept, openapi, problems, work
from app.api.deps import TurnDep, json_only
from app.api.params import DetectQuery
from app.api.reading import Upload, read_batch
from app.api.schemas import DetectResponse, EmbedResponse, LandmarksResponse
from app.api.service import Limits, Turn
from app.errors import FacetError, TooManyBytes
from app.pipeline.analyzer import Analyzer

router = APIRouter(tags=["batches"], responses=openapi.PROBLEMS, dependencies=[Depends(json_only)])

Job = Callable[[Analyzer, Limits, Upload, DetectQuery], work.Seen]


class DetectBatch(BaseModel):
    """Each picture's faces, or what is wrong with it, in the order of the pictures."""

    results: list[DetectResponse | problems.Problem]


class LandmarksBatch(BaseModel):
    """Each picture's faces with landmarks, or what is wrong with it, in the order of the pictures."""

    results: list[LandmarksResponse | problems.Problem]


class EmbedBatch(BaseModel):
    """Each picture's faces with embeddings, or what is wrong with it, in the order of the pictures."""

    results: list[EmbedResponse | problems.Problem]


@router.post("/detect/batch", response_model=DetectBatch, openapi_extra=openapi.many_pictures())
async def detect(request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep) -> Response:
    """What `/detect` answers, for several pictures. A bad one has a problem in its place."""
    turn.analyzer.detector(query.model)
    return await _answer(request, query, turn, work.detect)


@router.post("/landmarks/batch", response_model=LandmarksBatch, openapi_extra=openapi.many_pictures())
async def landmarks(request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep) -> Response:
    """What `/landmarks` answers, for several pictures. A bad one has a problem in its place."""
    turn.analyzer.landmarker(query.model)
    return await _answer(request, query, turn, work.landmarks)


@router.post("/embed/batch", response_model=EmbedBatch, openapi_extra=openapi.many_pictures())
async def embed(request: Request, query: Annotated[DetectQuery, Query()], turn: TurnDep) -> Response:
    """What `/embed` answers, for several pictures. A bad one has a problem in its place."""
    turn.analyzer.embedder(query.model)
    return await _answer(request, query, turn, work.embed)


async def _answer(request: Request, query: DetectQuery, turn: Turn, job: Job) -> Response:
    """The results, joined. No more pictures than there are workers wait at a time: others get their turn."""
    query.options(turn.limits.faces)  # bad parameters fail as a whole, before any work
    uploads = await read_batch(request, turn.limits)
    room = asyncio.Semaphore(turn.workers)

    async def one(upload: Upload | TooManyBytes) -> bytes:
        try:
            if isinstance(upload, TooManyBytes):
                raise upload
            async with room:
                return await turn.submit(lambda a: _json(job(a, turn.limits, upload, query).response))
        except FacetError as error:
            return _json(problems.of_error(error, turn.limits, request.url.path), exclude_none=True)

    async def every() -> list[bytes]:
        return await asyncio.gather(*(one(upload) for upload in uploads))

    body = b'{"results":[' + b",".join(await turn.attend(every())) + b"]}"
    return Response(body, media_type=accept.JSON)


def _json(answer: BaseModel, exclude_none: bool = False) -> bytes:
    return answer.model_dump_json(exclude_none=exclude_none).encode()
