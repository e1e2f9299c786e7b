"""Request bodies with several images: multipart parts, each of which is an upload or an error of its own."""

from fastapi import Request

from app.api import json_body, multipart
from app.api.body_guess import check_image
from app.api.content_type import FORM, media_of, unsupported_body
from app.api.fields import Fields
from app.api.request_body import OVERHEAD, chunks, read_single, too_large
from app.errors import BadImage, BadParameter, FacetError, TooManyBytes
from app.service import boxes as box_field
from app.service.limits import Limits
from app.service.requests import DetectQuery
from app.service.upload import Upload

_PART_OVERHEAD = 1 << 10
"""Bytes of boundaries and headers that each part may have in addition to its content."""


async def read_batch(
    request: Request, limits: Limits, parameters: tuple[str, ...] = tuple(DetectQuery.model_fields)
) -> list[Upload | FacetError]:
    """Return the images of a batch: the multipart parts `image`, in order.

    Args:
        request: the request.
        limits: limits on the request.
        parameters: names of the query parameters of the route.

    Returns:
        For each part the upload, or an error if the image is too large or something else.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the images together exceed the limit on a batch. Reading stops there.
        BadParameter: the body is malformed, has an unknown field, no image, or too many images.
    """
    fields = Fields(("image",), parameters, request.url.path, batch=True)
    parts = await _parts(request, limits, fields)
    parts.reverse()
    return [_upload(parts.pop(), limits) for _ in range(len(parts))]  # each part is freed when it is copied


async def read_images(
    request: Request, limits: Limits, parameters: tuple[str, ...]
) -> list[Upload | FacetError]:
    """Return one or several images, each with or without the box of the face that is meant.

    A body is that of `read_image` with the JSON field `box`, or that of `read_batch` with as many multipart
    parts `box` as images, or none.

    Args:
        request: the request.
        limits: limits on the request.
        parameters: names of the query parameters of the route.

    Returns:
        For each image the upload, or an error if a part is too large or something else.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the images together exceed the limit on a batch. Reading stops there.
        BadParameter: the body is malformed, has an unknown field, no image, too many images, or another
            number of boxes; or the box of a single image is not valid.
        NotAnImage: a single image is empty or something else.
    """
    is_form = media_of(request) == FORM
    fields = Fields(("image",), parameters, request.url.path, box=True, batch=is_form)
    if not is_form:
        return [await read_single(request, limits, fields)]
    parts = await _parts(request, limits, fields)
    boxes = [part for part in parts if part.name == box_field.ONE_FIELD]
    images = [part for part in parts if part.name != box_field.ONE_FIELD]
    parts.clear()
    images.reverse()
    boxes.reverse()
    # each part is freed when it is copied
    return [_upload(images.pop(), limits, boxes.pop() if boxes else None) for _ in range(len(images))]


async def _parts(request: Request, limits: Limits, fields: Fields) -> list[multipart.Part]:
    """Return the parts of a form with several images.

    Raises:
        UnsupportedMediaType: the content type or the content encoding is not supported.
        TooManyBytes: the images together exceed the limit on a batch. Reading stops there.
        BadParameter: the body is malformed, has an unknown field, no image, or too many images.
    """
    if (media := media_of(request)) != FORM:
        raise await unsupported_body(request, fields, media)
    most = limits.batch_bytes

    def all_too_large() -> TooManyBytes:
        return TooManyBytes(f"The images together exceed the limit of {most} bytes.", limit=most)

    most_parts = limits.batch_images * (2 if fields.box else 1)
    overhead = OVERHEAD + most_parts * _PART_OVERHEAD
    body = chunks(request, most + overhead, all_too_large, by_length=False)
    parts = await multipart.parse(
        request.headers["content-type"], body, limits.image_bytes, most_parts, lenient=True
    )
    fields.check(part.name for part in parts)
    if sum(part.name in fields.images for part in parts) > limits.batch_images:
        raise BadParameter(f"The form has more than {limits.batch_images} images. Send fewer images.")
    return parts


def _upload(part: multipart.Part, limits: Limits, box: multipart.Part | None = None) -> Upload | FacetError:
    if part.over:
        return too_large(limits, ("image",))
    data = bytes(part.data)
    try:
        check_image(data, "image")
        given = None if box is None else json_body.parse_box(None if box.over else bytes(box.data))
    except (BadImage, BadParameter) as error:
        return error
    return Upload(data, given, box_field.ONE_FIELD)
