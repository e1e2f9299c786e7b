"""The OpenAPI document beyond the routes' own types, and its page, which loads nothing from other hosts."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.api.middleware.api_keys import is_open
from app.api.security_headers import page_policy
from app.service.problems import KINDS, MEDIA_TYPE, Problem

EXAMPLES = Path(__file__).parent / "examples.json"
"""Answers by path and method, which `python -m scripts.openapi_examples` writes."""

EXAMPLE_PICTURE = Path(__file__).parent / "page" / "example.jpg"

_ASSETS = "/docs/assets"

_BINARY = {"type": "string", "format": "binary"}


def problem(status: int, text: str) -> dict[str, Any]:
    """Return the description of a response that is a problem, with an example of that status."""
    kind = next(kind for kind in KINDS.values() if kind.status == status)
    example = {"type": kind.uri, "title": kind.title, "status": status, "detail": kind.about}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: problem(401, "The service has API keys, and the request sends none of them."),
    406: problem(406, "`Accept` names no type that is offered."),
    408: problem(408, "The body arrived too slowly."),
    413: problem(
        413, "A picture exceeds the byte limit (reading stops there) or the pixel limit (it is not decoded)."
    ),
    415: problem(415, "The content type, or the picture's format, is not supported."),
    422: problem(
        422, "Not an image, a damaged image, a bad parameter, an unknown model, or no face to verify."
    ),
    503: problem(503, "Not ready, overloaded, out of memory, or not finished in time."),
}

DRAWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or the picture with the answer drawn on it if `Accept` asks for one.",
        "content": {"image/png": {"schema": _BINARY}, "image/jpeg": {"schema": _BINARY}},
    }
}

_BOXES = {
    "type": "array",
    "description": "boxes [x1, y1, x2, y2] in pixels, with sides of 1 pixel or more. They replace detection; "
    "`threshold`, `min_face_size` and `max_faces` are then ignored",
    "items": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
}


def one_picture(boxes: bool = False) -> dict[str, Any]:
    """Return the request body of a route for one picture."""
    return _body(_content(("image",), boxes) | {f"image/{kind}": {"schema": _BINARY} for kind in _KINDS})


def two_pictures() -> dict[str, Any]:
    """Return the request body of `/verify`."""
    return _body(_content(("image_a", "image_b"), boxes=False))


def many_pictures() -> dict[str, Any]:
    """Return the request body of a route for several pictures."""
    pictures = {"type": "array", "items": _BINARY, "minItems": 1, "description": "one part per picture"}
    schema = {"type": "object", "properties": {"image": pictures}, "required": ["image"]}
    return _body({"multipart/form-data": {"schema": schema}})


def install(app: FastAPI, locked: bool = False) -> None:
    """Add the schema of problems to OpenAPI, and `/docs` with the files of Swagger UI from fastapi-swagger.

    Args:
        app: the application.
        locked: whether paths need an API key, except those that `api_keys` leaves open.
    """
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = str(request.scope.get("root_path", "")).rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_ASSETS}/favicon-32x32.png",
            swagger_ui_parameters={
                "tryItOutEnabled": True,
                "displayRequestDuration": True,
                "validatorUrl": None,  # Swagger UI would send the document to another host
            },
        )
        policy = page_policy(bytes(page.body).decode(), assets=True)
        page.headers["Content-Security-Policy"] = policy
        return page

    plain = app.openapi

    def extended() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = plain()
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        schema["paths"]["/problems/{name}"]["get"]["responses"].pop("422")  # any text is a valid name
        for operations in schema["paths"].values():
            body = operations.get("post", {}).get("requestBody", {"content": {}})
            if as_json := body["content"].get("application/json"):
                as_json["example"] = {name: _example() for name in as_json["schema"]["required"]}
        for path, answers in _answers().items():
            for method, answer in answers.items():
                schema["paths"][path][method]["responses"]["200"]["content"]["application/json"][
                    "example"
                ] = answer
        if locked:
            schema["components"]["securitySchemes"] = _KEYS
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = [] if is_open(path) else [{name: []} for name in _KEYS]
        return schema

    app.openapi = extended  # type: ignore[method-assign] # FastAPI's documented way to extend the schema


_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_KINDS = ("jpeg", "png", "webp", "bmp", "gif")


@cache
def _example() -> str:
    """Return a small picture with a face, in base64."""
    return base64.b64encode(EXAMPLE_PICTURE.read_bytes()).decode()


def _content(names: tuple[str, ...], boxes: bool) -> dict[str, Any]:
    files: dict[str, Any] = {name: _BINARY for name in names}
    texts: dict[str, Any] = {
        name: {"type": "string", "format": "byte", "description": "base64; a data URL prefix is allowed"}
        for name in names
    }
    if boxes:
        files["boxes"] = {
            "type": "string",
            "description": "JSON, [[x1, y1, x2, y2], ...]: skips detection; `threshold`, `min_face_size` and "
            "`max_faces` are then ignored",
        }
        texts["boxes"] = _BOXES
    return {
        "application/json": {"schema": {"type": "object", "properties": texts, "required": list(names)}},
        "multipart/form-data": {"schema": {"type": "object", "properties": files, "required": list(names)}},
    }


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


@cache
def _answers() -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    return answers
