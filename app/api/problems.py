"""Errors as RFC 9457 problems: one table of statuses and types, and the handlers that answer with them."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app import errors
from app.api.service import Limits

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

RETRY_SECONDS = 1


class Kind(NamedTuple):
    """A type of problem: its HTTP status, the last part of its URI, its title and what it is about."""

    status: int
    slug: str
    title: str
    about: str

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"


BY_ERROR: dict[type[errors.FacetError], Kind] = {
    errors.NotAnImage: Kind(
        422, "not-an-image", "Not an image", "The bytes are empty, or no picture of any known format."
    ),
    errors.UnsupportedFormat: Kind(
        415, "unsupported-format", "Unsupported image format", "A picture, of a format that is not read."
    ),
    errors.TruncatedImage: Kind(
        422, "truncated-image", "Truncated or damaged image", "The picture's data ends early or is damaged."
    ),
    errors.TooManyPixels: Kind(
        413,
        "too-many-pixels",
        "Too many pixels",
        "Width times height is over `limit`; the picture was not decoded.",
    ),
    errors.TooManyBytes: Kind(
        413, "too-many-bytes", "Too many bytes", "A picture is over `limit` bytes; reading stopped there."
    ),
    errors.BadParameter: Kind(
        422, "bad-parameter", "Bad parameter", "The parameter or field named by `field` has no usable value."
    ),
    errors.UnknownModel: Kind(
        422,
        "unknown-model",
        "Unknown model",
        "No model of that name does the task; `known` lists those.",
    ),
    errors.UnsupportedMediaType: Kind(
        415,
        "unsupported-media-type",
        "Unsupported content type",
        "The content type is not read here.",
    ),
    errors.NoFace: Kind(
        422,
        "no-face",
        "No face found",
        "No face was found in the picture that `field` names.",
    ),
    errors.Unauthorized: Kind(
        401, "unauthorized", "Unauthorized", "The request brings none of the service's API keys."
    ),
    errors.BodyTimeout: Kind(
        408, "body-timeout", "Body too slow", "The request's body, or a part of it, did not come in time."
    ),
    errors.NotReady: Kind(
        503, "not-ready", "Not ready", "The models are loading or warming up, or the service is ending."
    ),
    errors.Overloaded: Kind(503, "overloaded", "Overloaded", "More requests wait than the service admits."),
    errors.DeadlineExceeded: Kind(
        503, "deadline-exceeded", "Deadline exceeded", "The work was not done in time, and was dropped."
    ),
    errors.Abandoned: Kind(
        503, "abandoned", "Abandoned", "The service ended, or the client went, before the work was done."
    ),
    errors.OutOfMemory: Kind(
        503,
        "out-of-memory",
        "Out of memory",
        "The device has no memory for the work now, however it is split.",
    ),
    errors.BadModel: Kind(500, "bad-model", "Bad model", "A model file is missing or damaged."),
    errors.DeviceUnavailable: Kind(
        500, "device-unavailable", "Device unavailable", "The device asked for cannot run the models."
    ),
}

BY_STATUS: dict[int, Kind] = {
    400: Kind(400, "bad-request", "Bad request", "The request is not understood."),
    404: Kind(404, "not-found", "Not found", "There is nothing at this address."),
    405: Kind(405, "method-not-allowed", "Method not allowed", "The address does not take this method."),
    406: Kind(406, "not-acceptable", "Not acceptable", "The answer has none of the types `Accept` asks for."),
    408: Kind(408, "head-timeout", "Head too slow", "The request's head did not come in time."),
    500: Kind(500, "internal-error", "Internal error", "The service failed; its log says where."),
}

KINDS: dict[str, Kind] = {kind.slug: kind for kind in (*BY_ERROR.values(), *BY_STATUS.values())}


class Problem(BaseModel):
    """An error, as RFC 9457 has it. `type` is stable; `detail` is for people and may change."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(examples=["/problems/unknown-model"])
    title: str = Field(examples=["Unknown model"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["no model named 'resnet' does embed; known: dlib, sface"])
    instance: str | None = Field(None, description="the path of the request", examples=["/embed"])
    field: str | None = Field(None, description="the parameter or field at fault", examples=["model"])
    known: list[str] | None = Field(None, description="names that would have been understood")
    limit: int | None = Field(None, description="the limit that was passed")


def of_error(error: errors.FacetError, limits: Limits | None = None, instance: str | None = None) -> Problem:
    """A domain error as a problem."""
    kind = next((BY_ERROR[base] for base in type(error).__mro__ if base in BY_ERROR), BY_STATUS[500])
    problem = _problem(kind, error.detail, instance, error.field)
    if isinstance(error, errors.UnknownModel):
        problem.known = error.known
    if limits is not None and isinstance(error, errors.TooManyPixels):
        problem.limit = limits.image_pixels
    if limits is not None and isinstance(error, errors.TooManyBytes):
        together = error.limit or limits.bytes_of(2)  # no field: the two of /verify, or a batch's pictures
        problem.limit = limits.image_bytes if error.field else together
    return problem


def of_validation(error: ValidationError | RequestValidationError) -> errors.BadParameter:
    """The first fault pydantic found, as a domain error that names the field."""
    first = error.errors()[0]
    field = str(first["loc"][-1]) if first["loc"] else None
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = repr(first.get("input"))
    given = given if len(given) <= 80 else f"{given[:77]}..."
    return errors.BadParameter(
        f"The value {given} of {field or 'the request'} cannot be used: it {reason}.", field
    )


def install(app: FastAPI, limits: Limits) -> None:
    """Makes every error an answer in problem+json: the app's, the frameworks', and unforeseen ones."""

    async def domain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.FacetError)
        problem = of_error(error, limits, request.url.path)
        return respond(problem, _HEADERS.get(problem.status), request.scope)

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await domain(request, of_validation(error))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind = BY_STATUS.get(error.status_code, BY_STATUS[400])._replace(status=error.status_code)
        detail = _DETAILS.get(error.status_code, "{detail}").format(
            method=request.method, path=request.url.path, detail=error.detail
        )
        return respond(_problem(kind, detail, request.url.path, None), error.headers, request.scope)

    async def gone(request: Request, error: Exception) -> JSONResponse:
        detail = "The connection closed before the whole request had come."
        return respond(_problem(BY_STATUS[400], detail, request.url.path, None), None, request.scope)

    app.add_exception_handler(errors.FacetError, domain)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)


def of_status(status: int, detail: str, instance: str | None = None) -> Problem:
    """A problem that no domain error stands for. A 503 is an overload."""
    kind = BY_ERROR[errors.Overloaded] if status == 503 else BY_STATUS[status]
    return _problem(kind, detail, instance, None)


def unforeseen(scope: Scope) -> JSONResponse:
    """The answer where the service failed. The caller logs why."""
    detail = "The service failed on this request; its log says where."
    return respond(of_status(500, detail, scope["path"]), None, scope)


def respond(problem: Problem, headers: Mapping[str, str] | None, scope: Scope) -> JSONResponse:
    """The problem as a response. The request's scope keeps its type, for the log and the metrics."""
    scope.setdefault("state", {})["problem"] = problem.type.rpartition("/")[2]
    content: dict[str, Any] = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)


_HEADERS = {
    408: {"Connection": "close"},
    503: {"Retry-After": str(RETRY_SECONDS)},
}

_DETAILS = {
    404: "There is nothing at {path}.",
    405: "The address {path} does not take {method}.",
}


def _problem(kind: Kind, detail: str, instance: str | None, field: str | None) -> Problem:
    return Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=instance, field=field
    )
