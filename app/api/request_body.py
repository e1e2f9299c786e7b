"""Request bodies: images as raw bytes, multipart parts or base64 in JSON.

The limits are enforced while reading. Nothing is written to disk. JSON and base64 are decoded in a thread.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from pydantic_core import from_json

from app.api import multipart
from app.errors import BadParameter, TooManyBytes, UnsupportedMediaType
from app.service import boxes as box_field
from app.service.limits import Limits
from app.service.upload import Upload

_OVERHEAD = 256 << 10
"""Bytes that a multipart or JSON body may have in addition to its images: boundaries, headers, boxes."""

_VALUE_MARKS = (b",", b"[", b"{")
"""Bytes that precede a value in JSON. Base64 contains none of them."""


async def read_image(request: Request, limits: Limits, with_boxes: bool = False) -> Upload:
    """Return the image of a request: a raw `image/*` body, the multipart part or the JSON field `image`.

    Args:
        request: the request.
        limits: limits on the request.
        with_boxes: whether the multipart part or JSON field `boxes` is allowed.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the image exceeds the limit. Reading stops there.
        BadParameter: a field is missing, unknown or invalid.
    """
    if _media(request).startswith("image/"):
        too_large = partial(_too_large, limits, ("image",))
        return Upload(b"".join([chunk async for chunk in _chunks(request, limits.image_bytes, too_large)]))
    allowed = ("image", box_field.FIELD) if with_boxes else ("image",)
    found = await _fields(request, limits, ("image",), allowed)
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
    """
    names = ("image_a", "image_b")
    found = await _fields(request, limits, names, names)
    return found["image_a"], found["image_b"]


async def read_batch(request: Request, limits: Limits) -> list[Upload | TooManyBytes]:
    """Return the images of a batch: the multipart parts `image`, in order.

    Args:
        request: the request.
        limits: limits on the request.

    Returns:
        For each part the upload, or an error if the image exceeds the limit on one image.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the images together exceed the limit on a batch. Reading stops there.
        BadParameter: the body is malformed, has an unknown field, no image, or too many images.
    """
    media = _media(request)
    if media != "multipart/form-data":
        given = (
            f"The content type {media} is not supported here" if media else "The request has no content type"
        )
        raise UnsupportedMediaType(f"{given}. Send multipart/form-data with one part named image per image.")
    most = limits.batch_bytes

    def too_large() -> TooManyBytes:
        return TooManyBytes(f"The images together exceed the limit of {most} bytes.", limit=most)

    body = _chunks(request, most + _OVERHEAD, too_large, by_length=False)
    parts = await multipart.parse(
        request.headers["content-type"], body, limits.image_bytes, limits.batch_images, lenient=True
    )
    _check_names([part.name for part in parts], ("image",))
    if not parts:
        raise BadParameter("The request has no image. Send one or more parts named image.", "image")
    return [_too_large(limits, ("image",)) if part.over else Upload(bytes(part.data)) for part in parts]


def _media(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"The content encoding {encoding} is not supported. Send the body without content encoding."
        )
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def _fields(
    request: Request, limits: Limits, pictures: Sequence[str], allowed: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of a multipart or JSON body by name: images as bytes, `boxes` as parsed JSON.

    Args:
        request: the request.
        limits: limits on the request.
        pictures: names of the image fields, all of which are required.
        allowed: names of all allowed fields.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: an image exceeds the limit.
        BadParameter: a field is missing, unknown or invalid.
    """
    media = _media(request)
    if media == "multipart/form-data":
        found = await _multipart(request, limits, pictures, allowed)
    elif media == "application/json" or (media.startswith("application/") and media.endswith("+json")):
        body = await _json_body(request, limits, pictures)
        found = await run_sync(_json, body, pictures, allowed)
    else:
        raw = "" if len(pictures) > 1 else "the image itself with the content type image/*, "
        names = _and(pictures)
        given = (
            f"The content type {media} is not supported here" if media else "The request has no content type"
        )
        raise UnsupportedMediaType(
            f"{given}. Send {raw}multipart/form-data with {names}, or JSON with {names} in base64."
        )
    for name in pictures:
        if name not in found:
            raise BadParameter(f"The request has no field {name}. Send {_and(pictures)}.", name)
        if len(found[name]) > limits.image_bytes:
            error = _too_large(limits, (name,))
            raise error
    return found


async def _chunks(
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


def _too_large(limits: Limits, pictures: Sequence[str]) -> TooManyBytes:
    """Return the error for an image that is too large, or for several images that are too large together."""
    most = limits.bytes_of(len(pictures))
    if len(pictures) == 1:
        return TooManyBytes(f"The {pictures[0]} exceeds the limit of {most} bytes.", pictures[0])
    return TooManyBytes(f"The body with {_and(pictures)} exceeds the limit of {most} bytes.")


async def _json_body(request: Request, limits: Limits, pictures: Sequence[str]) -> bytes:
    """Return a JSON body, whose limit allows for base64.

    Raises:
        TooManyBytes: the body is too large. The error names the image that is too large, if there is one.
    """
    single, body = len(pictures) == 1, bytearray()
    limit = _in_base64(limits.bytes_of(len(pictures))) + _OVERHEAD
    try:
        async for chunk in _chunks(request, limit, partial(_too_large, limits, pictures), by_length=single):
            body += chunk
    except TooManyBytes:
        if single:
            raise
        large = await run_sync(_large_text, bytes(body), pictures, _in_base64(limits.image_bytes))
        error = _too_large(limits, (large,) if large else pictures)
        raise error from None
    return bytes(body)


def _in_base64(size: int) -> int:
    """Return an upper bound of the characters of `size` bytes in base64, including line breaks and prefix."""
    return size * 3 // 2


def _large_text(start: bytes, pictures: Sequence[str], most: int) -> str | None:
    """Return the name of the first image with more than `most` characters in a truncated JSON body."""
    try:
        fields = _values(start, partial=True)
    except (ValueError, BadParameter):
        return None
    given = fields if isinstance(fields, dict) else {}
    texts = {name: given[name] for name in pictures if isinstance(given.get(name), str)}
    return next((name for name, text in texts.items() if len(text) > most), None)


async def _multipart(
    request: Request, limits: Limits, pictures: Sequence[str], allowed: Sequence[str]
) -> dict[str, Any]:
    limit = limits.bytes_of(len(pictures)) + _OVERHEAD
    body = _chunks(request, limit, partial(_too_large, limits, pictures), by_length=len(pictures) == 1)
    parts = await multipart.parse(request.headers["content-type"], body, limits.image_bytes)
    names = [part.name for part in parts]
    _check_names(names, allowed)
    for name in names:
        if (times := names.count(name)) > 1:
            raise BadParameter(f"The field {name} was sent {times} times. Send it once.", name)
    return {
        part.name: bytes(part.data) if part.name in pictures else _parse_boxes(part.data) for part in parts
    }


def _check_names(found: Iterable[str], allowed: Sequence[str]) -> None:
    for name in found:
        if name not in allowed:
            known = ", ".join(allowed)
            raise BadParameter(f"The field {name[:80]!r} is unknown. Known fields: {known}.", name[:80])


def _parse_boxes(text: bytearray) -> Any:
    if not text.strip():
        return None
    try:
        return _values(bytes(text))
    except ValueError as error:
        raise BadParameter(f"The field boxes is not valid JSON: {error}.", box_field.FIELD) from error


def _json(body: bytes, pictures: Sequence[str], allowed: Sequence[str]) -> dict[str, Any]:
    try:
        fields = _values(body)
    except ValueError as error:
        raise BadParameter(f"The body is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise BadParameter(f"The body must be a JSON object with {_and(pictures)}.")
    _check_names(fields, allowed)
    return {name: _base64(value, name) if name in pictures else value for name, value in fields.items()}


def _values(text: bytes, partial: bool = False) -> Any:
    """Return the parsed JSON.

    A parsed value takes up to forty times the memory of its text, so the values are counted before parsing.

    Raises:
        BadParameter: the text has more values than any valid request.
    """
    if sum(text.count(mark) for mark in _VALUE_MARKS) > _OVERHEAD:
        raise BadParameter("The JSON has more values than a valid request can have.")
    return from_json(text, allow_partial="trailing-strings" if partial else False)


def _base64(value: Any, name: str) -> bytes:
    """Return the bytes of a base64 string, standard or URL-safe.

    A data URL prefix, white space and missing padding are accepted.

    Raises:
        BadParameter: the value is not a string, or not valid base64.
    """
    if not isinstance(value, str):
        raise BadParameter(f"The field {name} must be a string with the image in base64.", name)
    text = value.partition(",")[2] if value[:5].lower() == "data:" else value
    try:
        plain = text.encode("ascii").translate(_URL_SAFE, _SPACES).rstrip(b"=")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadParameter(f"The field {name} is not valid base64: {error}.", name) from error


_URL_SAFE = bytes.maketrans(b"-_", b"+/")

_SPACES = b" \t\n\r\v\f"


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
