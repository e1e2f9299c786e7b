"""The OpenAPI document: request bodies, problems, examples; and its page, which needs no other host."""

import base64
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.api.middleware.api_keys import is_open
from app.api.problem_handlers import root_path
from app.api.security_headers import swagger_policy
from app.service.problems import KINDS, MEDIA_TYPE, Problem
from app.vision.file_types import MEDIA_TYPES

EXAMPLES = Path(__file__).parent / "examples.json"
"""Example responses by path and method, written by `python -m scripts.openapi_examples`."""

EXAMPLE_PICTURE = Path(__file__).parent / "console" / "example.jpg"
"""The image of the example requests, with one face."""

_ASSETS = "/docs/assets"

_UNTYPED = "application/octet-stream"

_BINARY = {"type": "string", "format": "binary"}


def problem(status: int, text: str, slug: str | None = None) -> dict[str, Any]:
    """Return the OpenAPI description of a problem response, with an example.

    Args:
        status: the HTTP status, for which at least one type of problem exists.
        text: the description.
        slug: the type of the example; None for the first type with this status.
    """
    kind = KINDS[slug] if slug else next(kind for kind in KINDS.values() if kind.status == status)
    example = {"type": kind.uri, "title": kind.title, "status": status, "detail": kind.about}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: problem(401, "The service requires an API key, and the request has no valid one."),
    406: problem(406, "The header `Accept` allows none of the media types of the route."),
    408: problem(408, "The request body arrived too slowly."),
    413: problem(
        413,
        "An image, or the images together, exceed the limit in bytes (reading stops there) or in pixels (the "
        "image is not decoded).",
    ),
    415: problem(415, "The content type, the content encoding or the image format is not supported."),
    421: problem(421, "The header `Host` names a host that the service does not allow."),
    422: problem(
        422,
        "The body is not an image, the image is damaged, a parameter or field is invalid, the model is "
        "unknown, or an image to verify contains no face.",
    ),
    503: problem(
        503,
        "The service is not ready, overloaded or out of memory, or the request was not finished in time. The "
        "header `Retry-After` has the expected seconds until it can succeed, with a random part.",
    ),
}

_ONLY_GALLERY: dict[int | str, dict[str, Any]] = {
    403: problem(
        403, "The service has no API keys, and a browser sends the request for a page of another host."
    ),
    404: problem(
        404, "There is no collection, person or face with the name or id in the request.", "unknown-id"
    ),
    409: problem(
        409,
        "The vectors of the collection were made with other models, the external id is in use, or a limit of "
        "the gallery is reached.",
        "other-embedding",
    ),
    503: problem(
        503,
        "The gallery is switched off or its file cannot be used, or the service is not ready, overloaded or "
        "out of memory, or the request was not finished in time.",
        "gallery-unavailable",
    ),
}

GALLERY_PROBLEMS: dict[int | str, dict[str, Any]] = dict(sorted((PROBLEMS | _ONLY_GALLERY).items(), key=str))
"""The problems of the routes of the gallery."""

TAGS = [
    {"name": "faces", "description": "Detection, landmarks, embeddings and verification."},
    {
        "name": "batches",
        "description": "Several images in one request: the same operations on each, and clusters of faces.",
    },
    {
        "name": "people",
        "description": "The gallery: people, their faces, and who the faces of an image are.",
    },
    {"name": "collections", "description": "The gallery: collections of people, their export and import."},
    {"name": "service", "description": "Models, health, versions, metrics and problem types."},
]
"""Descriptions of the tags of the routes."""

DRAWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The faces as JSON or, if the header `Accept` asks for PNG or JPEG, the image with "
        "the faces drawn on it.",
        "content": {"image/png": {"schema": _BINARY}, "image/jpeg": {"schema": _BINARY}},
    }
}

_BOXES = {
    "type": "array",
    "description": "Boxes of the faces in pixels, which replace detection. The parameters `threshold`, "
    "`min_face_size` and `max_faces` are then ignored.",
    "items": {
        "type": "array",
        "description": "A box `[x1, y1, x2, y2]` in pixels, with sides of 1 pixel or more.",
        "minItems": 4,
        "maxItems": 4,
        "items": {"type": "number"},
    },
}


_BOX = {
    "description": "Box of the face that is stored, in pixels of the upright image, as a response has it. "
    "Null for the largest face. With a box, `faces`, `threshold` and `min_face_size` are ignored.",
    "anyOf": [
        {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
        {
            "type": "object",
            "properties": {name: {"type": "number"} for name in ("x1", "y1", "x2", "y2")},
            "required": ["x1", "y1", "x2", "y2"],
            "additionalProperties": False,
        },
        {"type": "null"},
    ],
}

_BOX_PARTS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Boxes of the faces that are stored, in JSON: `[x1, y1, x2, y2]`, or as a response has "
    "them, in pixels of the upright image. One part named `box` per image, in the same order, or none. An "
    "empty part or `null` stands for the largest face. With a box, `faces`, `threshold` and `min_face_size` "
    "are ignored.",
}


def successes_of(responses: Mapping[str, Any]) -> dict[str, Any]:
    """Return the responses of a route that are successes with JSON of the route's own, by status.

    A 202 is no result: it only says that the service continues to erase.
    """
    return {
        status: response
        for status, response in responses.items()
        if status in ("200", "201") and "application/json" in response.get("content", {})
    }


def one_picture(boxes: bool = False) -> dict[str, Any]:
    """Return the OpenAPI description of the request body of a route for one image.

    Args:
        boxes: whether the body may have the field `boxes`.
    """
    raw = {media: {"schema": _BINARY} for media in (*_MEDIA_TYPES, _UNTYPED)}
    return _body("The image: as it is, as a multipart part, or in base64.", _content(("image",), boxes) | raw)


def two_pictures() -> dict[str, Any]:
    """Return the OpenAPI description of the request body of `/verify`."""
    content = _content(("image_a", "image_b"), boxes=False)
    return _body("The two images: as multipart parts, or in base64.", content)


def many_pictures() -> dict[str, Any]:
    """Return the OpenAPI description of the request body of a route for several images."""
    pictures = {
        "type": "array",
        "items": _BINARY,
        "minItems": 1,
        "description": "The encoded images, one part named `image` per image.",
    }
    schema = {"type": "object", "properties": {"image": pictures}, "required": ["image"]}
    return _body("The images as multipart parts.", {"multipart/form-data": {"schema": schema}})


def one_or_many_pictures() -> dict[str, Any]:
    """Return the OpenAPI description of the body of a route for one or several images, with their boxes."""
    one = one_picture()["requestBody"]["content"]
    several = many_pictures()["requestBody"]["content"]
    one["application/json"]["schema"]["properties"]["box"] = _BOX
    several["multipart/form-data"]["schema"]["properties"]["box"] = _BOX_PARTS
    return _body(
        "One image: as it is, or in base64. Or several images: as multipart parts named `image`. Except with "
        "an image as it is, `box` can name the face.",
        one | several,
    )


def install(app: FastAPI, locked: bool = False) -> None:
    """Extend the OpenAPI document of the application, and add the page `/docs` with Swagger UI.

    Args:
        app: the application.
        locked: whether the service has API keys; then all paths except the open ones require one.
    """
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    @app.head("/docs", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = root_path(request.scope)
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_ASSETS}/favicon-32x32.png",
            swagger_ui_parameters={
                "tryItOutEnabled": True,
                "displayRequestDuration": True,
                "validatorUrl": None,  # otherwise Swagger UI sends the document to another host
            },
        )
        policy = swagger_policy(bytes(page.body).decode())
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
        schema["paths"]["/problems/{name}"]["get"]["responses"].pop("422")  # every string is a valid name
        for operations in schema["paths"].values():
            body = operations.get("post", {}).get("requestBody", {"content": {}})
            as_json = body["content"].get("application/json")
            if as_json and "example" not in as_json:
                as_json["example"] = {name: _example() for name in as_json["schema"]["required"]}
        for path, answers in _answers().items():
            for method, answer in answers.items():
                for response in successes_of(schema["paths"][path][method]["responses"]).values():
                    response["content"]["application/json"]["example"] = answer
        if locked:
            schema["components"]["securitySchemes"] = _KEYS
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = [] if is_open(path) else [{name: []} for name in _KEYS]
        return schema

    app.openapi = extended  # type: ignore[method-assign] # FastAPI's documented way to extend the schema


_KEYS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key in the header `Authorization: Bearer KEY`.",
    },
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key in the header `X-API-Key: KEY`.",
    },
}


@cache
def _example() -> str:
    """Return the image of the example requests in base64."""
    return base64.b64encode(EXAMPLE_PICTURE.read_bytes()).decode()


def _content(names: tuple[str, ...], boxes: bool) -> dict[str, Any]:
    files: dict[str, Any] = {name: {**_BINARY, "description": "The encoded image."} for name in names}
    texts: dict[str, Any] = {
        name: {
            "type": "string",
            "format": "byte",
            "description": "The encoded image in base64. A data URL prefix is allowed.",
        }
        for name in names
    }
    if boxes:
        files["boxes"] = {
            "type": "string",
            "description": "Boxes of the faces in pixels, as JSON `[[x1, y1, x2, y2], ...]`, which replace "
            "detection. The parameters `threshold`, `min_face_size` and `max_faces` are then ignored.",
        }
        texts["boxes"] = _BOXES
    return {
        "application/json": {"schema": {"type": "object", "properties": texts, "required": list(names)}},
        "multipart/form-data": {"schema": {"type": "object", "properties": files, "required": list(names)}},
    }


def _body(description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"description": description, "required": True, "content": content}}


_MEDIA_TYPES = [MEDIA_TYPES[name] for name in ("JPEG", "PNG", "WebP", "BMP", "GIF", "AVIF")]
"""Media types of the formats that every installation reads."""


@cache
def _answers() -> dict[str, dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    return answers
