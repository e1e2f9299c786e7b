"""Request bodies: images as raw bytes, multipart parts or base64 in JSON.

The limits are enforced while reading. Nothing is written to disk. JSON and base64 are decoded in a thread.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request

from app.api import json_body, multipart
from app.api.body_guess import check_image
from app.api.content_type import FORM, UNTYPED, media_of, unsupported, unsupported_body
from app.api.fields import Fields
from app.errors import BadParameter, TooManyBytes
from app.service import boxes as box_field
from app.service.limits import Limits
from app.service.requests import DetectQuery, VerifyQuery
from app.service.upload import Upload
from app.vision.file_types import identify

OVERHEAD = 256 << 10
"""Bytes that a multipart or JSON body may have in addition to its images: boundaries, headers, boxes."""

_MIN_HEAD = 64
"""Bytes of a body by which its file type is found."""


async def read_image(
    request: Request,
    limits: Limits,
    with_boxes: bool = False,
    parameters: tuple[str, ...] = tuple(DetectQuery.model_fields),
    has_batch: bool = True,
) -> Upload:
    """Return the image of a request: a raw body, the multipart part or the JSON field `image`.

    A raw body has a content type `image/*`, or none that says anything and the bytes of an image.

    Args:
        request: the request.
        limits: limits on the request.
        with_boxes: whether the multipart part or JSON field `boxes` is allowed.
        parameters: names of the query parameters of the route.
        has_batch: whether a second route, whose path ends in `/batch`, takes several images.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the image exceeds the limit. Reading stops there.
        BadParameter: a field is missing, unknown or invalid.
        NotAnImage: the image is empty or something else.
    """
    fields = Fields(("image",), parameters, request.url.path, boxes=with_boxes, has_batch=has_batch)
    return await read_single(request, limits, fields)


async def read_single(request: Request, limits: Limits, fields: Fields) -> Upload:
    """Return the image of a request, and the boxes that its fields give; see `read_image` for the errors.

    Args:
        request: the request.
        limits: limits on the request.
        fields: the fields that the route takes.
    """
    media = media_of(request)
    if media.startswith("image/") or media in UNTYPED:
        data = await _raw(request, limits, fields, media)
        check_image(data, "image")
        return Upload(data)
    found = await _fields(request, limits, fields, media)
    if fields.box:
        one = box_field.parse_one(found.get(box_field.ONE_FIELD))
        return Upload(found["image"], one, box_field.ONE_FIELD)
    given = found.get(box_field.FIELD)
    return Upload(found["image"], None if given is None else box_field.parse(given, limits.boxes))


async def read_pair(request: Request, limits: Limits) -> tuple[bytes, bytes]:
    """Return the two images of a request: the multipart parts or JSON fields `image_a` and `image_b`.

    Args:
        request: the request.
        limits: limits on the request.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: an image exceeds the limit. Reading stops there.
        BadParameter: a field is missing, unknown or invalid.
        NotAnImage: an image is empty or something else.
    """
    fields = Fields(("image_a", "image_b"), tuple(VerifyQuery.model_fields), request.url.path)
    found = await _fields(request, limits, fields, media_of(request))
    return found["image_a"], found["image_b"]


async def _raw(request: Request, limits: Limits, fields: Fields, media: str) -> bytes:
    """Return a body that is an image.

    Raises:
        UnsupportedMediaType: the content type says nothing, and the bytes are not those of an image.
        TooManyBytes: the image exceeds the limit.
    """
    body = chunks(request, limits.image_bytes, partial(too_large, limits, ("image",)))
    if not media.startswith("image/"):
        head = bytearray()
        async for chunk in body:
            head += chunk
            if len(head) >= _MIN_HEAD:
                break
        if identify(bytes(head)) is None:
            error = unsupported(fields, media, bytes(head))
            raise error
        return b"".join([bytes(head), *[chunk async for chunk in body]])
    return b"".join([chunk async for chunk in body])


async def _fields(request: Request, limits: Limits, fields: Fields, media: str) -> dict[str, Any]:
    """Return the fields of a multipart or JSON body by name: images as bytes, `boxes` as parsed JSON.

    Args:
        request: the request.
        limits: limits on the request.
        fields: the fields that the route takes.
        media: the media type of the body.

    Raises:
        UnsupportedMediaType: the content type is not supported.
        TooManyBytes: an image exceeds the limit.
        BadParameter: a field is missing, unknown or invalid.
    """
    is_form = media == FORM
    if is_form:
        found = await _multipart(request, limits, fields)
    elif media == "application/json" or (media.startswith("application/") and media.endswith("+json")):
        body = await _json_body(request, limits, fields.images)
        found = await run_sync(json_body.parse, body, fields)
    else:
        raise await unsupported_body(request, fields, media)
    for name in fields.images:
        if len(found[name]) > limits.image_bytes:
            error = too_large(limits, (name,))
            raise error
        check_image(found[name], name, encoded=not is_form)
    return found


async def chunks(
    request: Request, limit: int, too_large: Callable[[], TooManyBytes], by_length: bool = True
) -> AsyncIterator[bytes]:
    """Yield the chunks of the body, at most `limit` bytes.

    Args:
        request: the request.
        limit: maximum size of the body in bytes.
        too_large: makes the error for a larger body.
        by_length: also refuse a body whose Content-Length exceeds the limit, before reading it. With several
            fields this is off, because the error must name the field that is too large.

    Raises:
        TooManyBytes: the body exceeds the limit. Reading stops there.
    """
    length = request.headers.get("content-length", "")
    if by_length and length.isdecimal() and int(length) > limit:
        raise too_large()
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise too_large()
        yield chunk


def too_large(limits: Limits, pictures: Sequence[str]) -> TooManyBytes:
    """Return the error for an image that is too large, or for several images that are too large together."""
    most = limits.bytes_of(len(pictures))
    if len(pictures) == 1:
        return TooManyBytes(f"The {pictures[0]} exceeds the limit of {most} bytes.", pictures[0])
    return TooManyBytes(f"The body with {' and '.join(pictures)} exceeds the limit of {most} bytes.")


async def _json_body(request: Request, limits: Limits, pictures: Sequence[str]) -> bytes:
    """Return a JSON body, whose limit allows for base64.

    Raises:
        TooManyBytes: the body is too large. The error names the image that is too large, if there is one.
    """
    single, body = len(pictures) == 1, bytearray()
    limit = _in_base64(limits.bytes_of(len(pictures))) + OVERHEAD
    try:
        async for chunk in chunks(request, limit, partial(too_large, limits, pictures), by_length=single):
            body += chunk
    except TooManyBytes:
        if single:
            raise
        large = await run_sync(_large_text, bytes(body), pictures, _in_base64(limits.image_bytes))
        error = too_large(limits, (large,) if large else pictures)
        raise error from None
    return bytes(body)


def _in_base64(size: int) -> int:
    """Return an upper bound of the characters of `size` bytes in base64, including line breaks and prefix."""
    return size * 3 // 2


def _large_text(start: bytes, pictures: Sequence[str], most: int) -> str | None:
    """Return the name of the first image with more than `most` characters in a truncated JSON body."""
    try:
        fields = json_body.values(start, partial=True)
    except (ValueError, BadParameter):
        return None
    given = fields if isinstance(fields, dict) else {}
    texts = {name: given[name] for name in pictures if isinstance(given.get(name), str)}
    return next((name for name, text in texts.items() if len(text) > most), None)


async def _multipart(request: Request, limits: Limits, fields: Fields) -> dict[str, Any]:
    pictures = fields.images
    limit = limits.bytes_of(len(pictures)) + OVERHEAD
    body = chunks(request, limit, partial(too_large, limits, pictures), by_length=len(pictures) == 1)
    parts = await multipart.parse(request.headers["content-type"], body, limits.image_bytes)
    fields.check(part.name for part in parts)
    return {
        part.name: bytes(part.data) if part.name in pictures else json_body.parse_boxes(bytes(part.data))
        for part in parts
    }
