"""Exception handlers that turn every error into a problem+json response."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.errors import FacetError
from app.service.limits import Limits
from app.service.problems import (
    BY_STATUS,
    MEDIA_TYPE,
    RETRY_SECONDS,
    Problem,
    of_error,
    of_kind,
    of_status,
    of_validation,
)

_HEADERS = {
    408: {"Connection": "close"},
    503: {"Retry-After": str(RETRY_SECONDS)},
}

_DETAILS = {
    404: "The path {path} does not exist. See /docs for the paths of the service.",
    405: "The path {path} does not support the method {method}. The header Allow lists the methods.",
}


def install(app: FastAPI, limits: Limits) -> None:
    """Add the exception handlers to the application.

    Args:
        app: the application.
        limits: limits on requests, which some problems report.
    """

    async def domain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FacetError)
        problem = of_error(error, limits, request.url.path)
        return respond(problem, _HEADERS.get(problem.status), request.scope)

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await domain(request, of_validation(error.errors()))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind = BY_STATUS.get(error.status_code, BY_STATUS[400])._replace(status=error.status_code)
        detail = _DETAILS.get(error.status_code, "{detail}").format(
            method=request.method, path=request.url.path, detail=error.detail
        )
        return respond(of_kind(kind, detail, request.url.path), error.headers, request.scope)

    async def disconnected(request: Request, error: Exception) -> JSONResponse:
        detail = "The connection was closed before the request was complete."
        return respond(of_kind(BY_STATUS[400], detail, request.url.path), None, request.scope)

    app.add_exception_handler(FacetError, domain)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, disconnected)


def internal_error(scope: Scope) -> JSONResponse:
    """Return the response for an unexpected error. The caller logs the error."""
    detail = "The service failed on this request. Its log has the cause."
    return respond(of_status(500, detail, scope["path"]), None, scope)


def respond(problem: Problem, headers: Mapping[str, str] | None, scope: Scope) -> JSONResponse:
    """Return the problem as a response, and store its type in the scope for the access log and the metrics.

    Args:
        problem: the problem.
        headers: further headers of the response.
        scope: the ASGI scope of the request.
    """
    scope.setdefault("state", {})["problem"] = problem.type.rpartition("/")[2]
    content: dict[str, Any] = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)
