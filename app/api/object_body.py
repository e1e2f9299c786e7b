"""JSON bodies that are not images: an object with a few fields."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.api import json_body
from app.api.content_type import media_of
from app.errors import BadParameter, TooManyBytes, UnsupportedMediaType
from app.service.boxes import json_type
from app.service.problems import of_validation

MAX_BYTES = 64 << 10
"""Maximum size of the body in bytes."""

B = TypeVar("B", bound=BaseModel)


async def read_object(request: Request, kind: type[B], optional: bool = False) -> B:
    """Return the JSON object of a request.

    Args:
        request: the request.
        kind: the model of the object.
        optional: whether the body may be empty; then all fields get their defaults.

    Raises:
        UnsupportedMediaType: the body is not JSON.
        TooManyBytes: the body is too large. Reading stops at the limit.
        BadParameter: the body is not a valid object, or a field is unknown, missing or invalid.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TooManyBytes(f"The body exceeds the limit of {MAX_BYTES} bytes.", limit=MAX_BYTES)
    if not body.strip() and optional:
        return kind()
    media = media_of(request)
    if media and media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMediaType(
            f"The content type {media[:80]} is not supported here. Send JSON with the content type "
            "application/json."
        )
    known = ", ".join(kind.model_fields)
    try:
        found: Any = json_body.values(bytes(body))
    except ValueError as error:
        raise BadParameter(f"The body is not valid JSON: {error}. Send an object with: {known}.") from error
    if not isinstance(found, dict):
        raise BadParameter(
            f"The body must be a JSON object; it is {json_type(found)}. Send an object with: {known}."
        )
    for name in found:
        if name not in kind.model_fields:
            raise BadParameter(f"The field {name[:80]!r} is unknown. Known fields: {known}.", name[:80])
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        fault = of_validation([{**first, "loc": first["loc"][:1]}])  # the field, not a value inside it
        raise fault from None


def object_schema(kind: type[BaseModel], example: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI description of a JSON body, for `openapi_extra`.

    Args:
        kind: the model of the object.
        example: an example of the body.
        required: whether the body must be sent.
    """
    content = {"application/json": {"schema": kind.model_json_schema(), "example": example}}
    description = (kind.__doc__ or "").strip().splitlines()[0]
    return {"requestBody": {"description": description, "required": required, "content": content}}
