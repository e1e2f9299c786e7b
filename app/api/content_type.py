"""Content types of bodies, and errors for those that a route does not read."""

from fastapi import Request

from app.api.body_guess import guess
from app.api.fields import Fields
from app.errors import UnsupportedMediaType

FORM = "multipart/form-data"
UNTYPED = ("", "application/octet-stream", "binary/octet-stream")
"""Content types that say nothing about the bytes."""


def media_of(request: Request) -> str:
    """Return the media type of a body in lower case, empty if the request has none.

    Raises:
        UnsupportedMediaType: the body has a content encoding.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"The content encoding {encoding} is not supported. Send the body as it is, without the header "
            "Content-Encoding."
        )
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def unsupported_body(request: Request, fields: Fields, media: str) -> UnsupportedMediaType:
    """Return the error for a body that the route does not read.

    The first bytes of the body are read, so that the error can say what they are. A client that waits for
    permission to send gets the error at once.

    Args:
        request: the request.
        fields: the fields that the route takes.
        media: the media type of the body.
    """
    head = b""
    if "expect" not in request.headers:
        head = await anext(request.stream(), b"")
    return unsupported(fields, media, head)


def unsupported(fields: Fields, media: str, head: bytes) -> UnsupportedMediaType:
    """Return the error for a body whose first bytes are known.

    Args:
        fields: the fields that the route takes.
        media: the media type of the body.
        head: the first bytes of the body.
    """
    given = f"The content type {media} is not supported here" if media else "The request has no content type"
    if not media and not head:
        given = "The request has no content type and no body"
    found, raw_too = guess(head), len(fields.images) == 1 and not fields.batch
    if found is not None and found.media is not None and _reads(fields, found.media, raw_too):
        remedy = found.remedy or f"Send it with the content type {found.media}."
        send = f"The body is {found.what}. {remedy}"
    elif fields.batch:
        send = f"Send {FORM} with one part named image per image."
    else:
        raw = "the image itself with the content type image/*, " if raw_too else ""
        send = f"Send {raw}{FORM} with {fields.listed}, or JSON with {fields.listed} in base64."
    detail = f"{given}. {send}"
    return UnsupportedMediaType(detail)


def _reads(fields: Fields, media: str, raw_too: bool) -> bool:
    if media.startswith("image/"):
        return raw_too
    return media == FORM or not fields.batch
