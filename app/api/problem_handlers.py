"""Exception handlers that turn every error into a problem+json response."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.api.route_table import RouteTable
from app.errors import FacetError, OutOfMemory, is_out_of_memory
from app.service.limits import Limits
from app.service.problems import (
    BY_STATUS,
    MEDIA_TYPE,
    Problem,
    of_error,
    of_kind,
    of_status,
    of_validation,
    retry_after,
)


def install(app: FastAPI, limits: Limits, table: RouteTable) -> None:
    """Add the exception handlers to the application.

    Args:
        app: the application.
        limits: limits on requests, which some problems report.
        table: the paths of the service.
    """

    async def domain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FacetError)
        problem = of_error(error, limits, request.url.path)
        headers = None
        if problem.status == 503:
            headers = {"Retry-After": retry_after(error.retry_after_s)}
        elif problem.status == 408:
            headers = {"Connection": "close"}
        return respond(problem, headers, request.scope)

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await domain(request, of_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status, headers = error.status_code, error.headers
        root, path = root_path(request.scope), request.url.path
        detail = error.detail
        if status == 405:
            methods = table.methods(path.removeprefix(root))
            headers = {"Allow": ", ".join(methods)}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
            usual = " or ".join(method for method in methods if method not in ("HEAD", "OPTIONS"))
            detail = f"The path {path} does not support the method {request.method}. Use {usual}."
        if status == 404:
            like = table.nearest(path.removeprefix(root))
            hint = f"Did you mean {root}{like}? " if like else ""
            detail = f"The path {path} does not exist. {hint}See {root}/docs for the paths of the service."
        kind = BY_STATUS.get(status, BY_STATUS[400])._replace(status=status)
        return respond(of_kind(kind, detail, path), headers, request.scope)

    async def disconnected(request: Request, error: Exception) -> JSONResponse:
        detail = "The connection was closed before the request was complete."
        return respond(of_kind(BY_STATUS[400], detail, request.url.path), None, request.scope)

    app.add_exception_handler(FacetError, domain)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, disconnected)


def unexpected(error: Exception, scope: Scope) -> JSONResponse:
    """Return the response for an unexpected error: 503 if it means insufficient memory, else 500.

    Args:
        error: the error, which the caller logs.
        scope: the ASGI scope of the request.
    """
    if is_out_of_memory(error):
        lack = OutOfMemory("There is not enough memory for this request. Try again in a moment.")
        return respond(of_error(lack, None, scope["path"]), {"Retry-After": retry_after()}, scope)
    detail = "The service failed on this request. Its log has the cause."
    return respond(of_status(500, detail, scope["path"]), None, scope)


def root_path(scope: Scope) -> str:
    """Return the path under which a proxy serves the service; empty without one."""
    own = scope.get("root_path", "")  # inside a mounted application with the path of the mount
    return str(scope.get("app_root_path", own)).removesuffix("/")


def respond(problem: Problem, headers: Mapping[str, str] | None, scope: Scope) -> JSONResponse:
    """Return the problem as a response, and store its type in the scope for the access log and the metrics.

    Args:
        problem: the problem.
        headers: further headers of the response.
        scope: the ASGI scope of the request.
    """
    scope.setdefault("state", {})["problem"] = problem.type.rpartition("/")[2]
    content: dict[str, Any] = problem.under(root_path(scope)).model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers, MEDIA_TYPE)
