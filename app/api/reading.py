"""Request bodies: pictures as raw bytes, multipart parts or base64 in JSON.

The byte limit holds while reading. Nothing is written to disk; what is slow (JSON, base64) runs in a thread.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from numpy import ndarray
from pydantic_core import from_json

from app.api import boxes as box_field
from app.api import multipart
from app.api.service import Limits
from app.errors import BadParameter, TooManyBytes, UnsupportedMediaType

_SLACK = 256 << 10
"""Bytes a multipart or JSON body may have beside its pictures: boundaries, headers, boxes."""

_MARKS = (b",", b"[", b"{")
"""What begins another value in JSON. A picture in base64 has none of it."""


@dataclass(frozen=True)
class Upload:
    """One encoded picture, and boxes where the request brought them."""

    image: bytes
    boxes: ndarray | None = None


async def read_image(request: Request, limits: Limits, with_boxes: bool = False) -> Upload:
    """The request's picture: a raw `image/*` body, the multipart part `image`, or JSON's `image`.

    Raises UnsupportedMediaType, TooManyBytes as soon as the limit is passed, and BadParameter.
    """
    if _media(request).startswith("image/"):
        over = _over(limits, ("image",))
        return Upload(b"".join([chunk async for chunk in _chunks(request, limits.image_bytes, over)]))
    allowed = ("image", box_field.FIELD) if with_boxes else ("image",)
    found = await _fields(request, limits, ("image",), allowed)
    given = found.get(box_field.FIELD)
    return Upload(found["image"], None if given is None else box_field.parse(given, limits.boxes))


async def read_pair(request: Request, limits: Limits) -> tuple[bytes, bytes]:
    """The multipart parts, or JSON's fields, `image_a` and `image_b`. Raises what `read_image` does."""
    names = ("image_a", "image_b")
    found = await _fields(request, limits, names, names)
    return found["image_a"], found["image_b"]


async def read_batch(request: Request, limits: Limits) -> list[Upload | TooManyBytes]:
    """The multipart parts `image`, in order; what is wrong with one that is over the limit, in its place.

    Raises UnsupportedMediaType, TooManyBytes where they are over the limit together, and BadParameter.
    """
    media = _media(request)
    if media != "multipart/form-data":
        given = f"The content type {media} is not read here" if media else "The request has no content type"
        raise UnsupportedMediaType(f"{given}; send multipart/form-data with a part image for each picture.")
    most = limits.batch_bytes
    over = TooManyBytes(f"The pictures together are over the limit of {most} bytes.", limit=most)
    body = _chunks(request, most + _SLACK, over)
    parts = await multipart.parse(
        request.headers["content-type"], body, limits.image_bytes, limits.batch_images, lenient=True
    )
    _check_names([part.name for part in parts], ("image",))
    if not parts:
        raise BadParameter("The request has no image; it must bring one or more.", "image")
    return [_over(limits, ("image",)) if part.over else Upload(bytes(part.data)) for part in parts]


def _media(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(f"The content encoding {encoding} is not read; send the body as it is.")
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def _fields(
    request: Request, limits: Limits, pictures: Sequence[str], allowed: Sequence[str]
) -> dict[str, Any]:
    """The body's fields by name: pictures as bytes, `boxes` as what its JSON holds."""
    media = _media(request)
    if media == "multipart/form-data":
        found = await _multipart(request, limits, pictures, allowed)
    elif media == "application/json" or (media.startswith("application/") and media.endswith("+json")):
        body = await _json_body(request, limits, pictures)
        found = await run_sync(_json, body, pictures, allowed)
    else:
        raw = "" if len(pictures) > 1 else "the picture itself with its image/* type, "
        names = _and(pictures)
        given = f"The content type {media} is not read here" if media else "The request has no content type"
        raise UnsupportedMediaType(
            f"{given}; send {raw}multipart/form-data with {names}, or JSON with {names} in base64."
        )
    for name in pictures:
        if name not in found:
            raise BadParameter(f"The request has no {name}; it must bring {_and(pictures)}.", name)
        if len(found[name]) > limits.image_bytes:
            raise _over(limits, (name,))
    return found


async def _chunks(request: Request, most: int, over: TooManyBytes) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `over` before reading on beyond `most` bytes.

    A length that says so beforehand is enough where `over` names the field; of several fields the one at
    fault is known only on the way.
    """
    length = request.headers.get("content-length", "")
    if over.field is not None and length.isdecimal() and int(length) > most:
        raise over
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > most:
            raise over
        yield chunk


def _over(limits: Limits, pictures: Sequence[str]) -> TooManyBytes:
    """The picture is over its limit; or several are together, and none of them can be named."""
    most = limits.bytes_of(len(pictures))
    if len(pictures) == 1:
        return TooManyBytes(f"The {pictures[0]} is over the limit of {most} bytes.", pictures[0])
    return TooManyBytes(f"The body with {_and(pictures)} is over the limit of {most} bytes.")


async def _json_body(request: Request, limits: Limits, pictures: Sequence[str]) -> bytes:
    """The body, with room for base64. Raises TooManyBytes, naming the picture that is too large."""
    over, body = _over(limits, pictures), bytearray()
    try:
        async for chunk in _chunks(request, _in_base64(limits.bytes_of(len(pictures))) + _SLACK, over):
            body += chunk
    except TooManyBytes:
        if over.field is not None:
            raise
        large = await run_sync(_large_text, bytes(body), pictures, _in_base64(limits.image_bytes))
        raise (_over(limits, (large,)) if large else over) from None
    return bytes(body)


def _in_base64(size: int) -> int:
    """Characters that are enough for so many bytes, line breaks and a data URL's prefix included."""
    return size * 3 // 2


def _large_text(start: bytes, pictures: Sequence[str], most: int) -> str | None:
    """The first of the pictures that has over `most` characters in a JSON body that was cut off."""
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
    most = limits.bytes_of(len(pictures)) + _SLACK
    body = _chunks(request, most, _over(limits, pictures))
    parts = await multipart.parse(request.headers["content-type"], body, limits.image_bytes)
    names = [part.name for part in parts]
    _check_names(names, allowed)
    for name in names:
        if (times := names.count(name)) > 1:
            raise BadParameter(f"The field {name} was sent {times} times; send it once.", name)
    return {
        part.name: bytes(part.data) if part.name in pictures else _parse_boxes(part.data) for part in parts
    }


def _check_names(found: Iterable[str], allowed: Sequence[str]) -> None:
    for name in found:
        if name not in allowed:
            known = ", ".join(allowed)
            raise BadParameter(f"There is no field {name[:80]!r} here; known: {known}.", name[:80])


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
    """What the JSON holds. Raises BadParameter for one of more values than any request needs.

    A value takes up to forty times the memory of its text, so they are counted before they are made.
    """
    if sum(text.count(mark) for mark in _MARKS) > _SLACK:
        raise BadParameter("The JSON holds more values than any request here needs.")
    return from_json(text, allow_partial="trailing-strings" if partial else False)


def _base64(value: Any, name: str) -> bytes:
    """The bytes of base64, standard or URL-safe; a data URL's prefix, line breaks and no padding are fine."""
    if not isinstance(value, str):
        raise BadParameter(f"The field {name} must be a picture's bytes in base64, as a string.", name)
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
