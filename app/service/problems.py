"""Errors as problems (RFC 9457): one table of types and statuses, for the API and the command line."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app import errors
from app.service.limits import Limits

MEDIA_TYPE = "application/problem+json"

_MAX_WAIT_S, _SPREAD = 40, 1.5
"""Longest wait in `Retry-After`, and the ratio of the largest to the smallest value for the same wait."""


class Kind(NamedTuple):
    """A type of problem.

    Attributes:
        status: the HTTP status.
        slug: the last part of the URI of the type.
        title: the title.
        about: the meaning, as full sentences.
    """

    status: int
    slug: str
    title: str
    about: str

    @property
    def uri(self) -> str:
        """The value of the field `type`: a path of the service."""
        return f"/problems/{self.slug}"


BY_ERROR: dict[type[errors.FacetError], Kind] = {
    errors.NotAnImage: Kind(
        422, "not-an-image", "Not an image", "The image is empty, or its bytes are not a known image format."
    ),
    errors.UnsupportedFormat: Kind(
        415,
        "unsupported-format",
        "Unsupported image format",
        "The service does not read this image format. `detail` lists the formats that it reads.",
    ),
    errors.TruncatedImage: Kind(
        422, "truncated-image", "Truncated or damaged image", "The image data is damaged or incomplete."
    ),
    errors.TooManyPixels: Kind(
        413,
        "too-many-pixels",
        "Too many pixels",
        "Width times height of the image exceeds `limit`. The image was not decoded.",
    ),
    errors.TooManyBytes: Kind(
        413,
        "too-many-bytes",
        "Too many bytes",
        "The image that `field` names, or all images together, exceed `limit` bytes. Reading stopped there.",
    ),
    errors.BadParameter: Kind(
        422, "bad-parameter", "Bad parameter", "The parameter or field that `field` names is invalid."
    ),
    errors.UnknownModel: Kind(
        422,
        "unknown-model",
        "Unknown model",
        "No loaded model performs this task under this name. `known` lists the models that perform it.",
    ),
    errors.UnsupportedMediaType: Kind(
        415,
        "unsupported-media-type",
        "Unsupported content type",
        "The route does not accept this content type or content encoding.",
    ),
    errors.NoFace: Kind(
        422,
        "no-face",
        "No face found",
        "The detector found no face in the image or the box that `field` names.",
    ),
    errors.SeveralFaces: Kind(
        422,
        "several-faces",
        "Several faces found",
        "The request demands exactly one face, but the image that `field` names contains several.",
    ),
    errors.UnknownId: Kind(
        404,
        "unknown-id",
        "Unknown id",
        "There is no collection, person or face with this id. `field` says which of them is unknown.",
    ),
    errors.OtherEmbedding: Kind(
        409,
        "other-embedding",
        "Other embedding",
        "The vectors of the collection were made with other models than those that are loaded, and cannot be "
        "compared with new ones. The collection can be exported, to enrol its people again, and deleted.",
    ),
    errors.DuplicateExternalId: Kind(
        409,
        "duplicate-external-id",
        "Duplicate external id",
        "Another person of the collection has this external id.",
    ),
    errors.GalleryLimit: Kind(
        409, "gallery-limit", "Gallery limit reached", "The gallery or a person would exceed a limit."
    ),
    errors.GalleryUnavailable: Kind(
        503,
        "gallery-unavailable",
        "Gallery unavailable",
        "The gallery is switched off, or its file or database cannot be read or written. `detail` has the "
        "reason.",
    ),
    errors.Unauthorized: Kind(401, "unauthorized", "Unauthorized", "The request has no valid API key."),
    errors.CrossSite: Kind(
        403,
        "cross-site",
        "Request of another site",
        "A browser sends the request for a page of another host. Without API keys, such a page may not "
        "change the gallery.",
    ),
    errors.BodyTimeout: Kind(
        408, "body-timeout", "Body too slow", "The body of the request did not arrive in time."
    ),
    errors.NotReady: Kind(
        503, "not-ready", "Not ready", "The models are loading or warming up, or the service is stopping."
    ),
    errors.Overloaded: Kind(
        503,
        "overloaded",
        "Overloaded",
        "The service has no free slot, connection or memory for the request. Try again later.",
    ),
    errors.DeadlineExceeded: Kind(
        503,
        "deadline-exceeded",
        "Deadline exceeded",
        "The request was not finished within the time limit and was dropped. If it changes the gallery, "
        "`detail` says whether the change may have been made.",
    ),
    errors.Abandoned: Kind(
        503,
        "abandoned",
        "Abandoned",
        "The service stopped, or the client disconnected, before the request was finished.",
    ),
    errors.OutOfMemory: Kind(
        503,
        "out-of-memory",
        "Out of memory",
        "There was not enough memory for the request, even in batches of the smallest size.",
    ),
    errors.BadModel: Kind(500, "bad-model", "Bad model", "A model file is missing or damaged."),
    errors.DeviceUnavailable: Kind(
        500, "device-unavailable", "Device unavailable", "The requested device cannot run the models."
    ),
}

BY_STATUS: dict[int, Kind] = {
    400: Kind(400, "bad-request", "Bad request", "The request is not valid HTTP, or it is incomplete."),
    404: Kind(404, "not-found", "Not found", "This path does not exist."),
    405: Kind(405, "method-not-allowed", "Method not allowed", "The path does not support this method."),
    406: Kind(
        406, "not-acceptable", "Not acceptable", "The route offers none of the media types in `Accept`."
    ),
    408: Kind(408, "head-timeout", "Head too slow", "The head of the request did not arrive in time."),
    421: Kind(
        421,
        "misdirected-request",
        "Misdirected request",
        "The header `Host` names a host that the setting FACE_ALLOWED_HOSTS does not allow.",
    ),
    500: Kind(
        500, "internal-error", "Internal error", "The service failed on the request. Its log has the cause."
    ),
}

KINDS: dict[str, Kind] = {kind.slug: kind for kind in (*BY_ERROR.values(), *BY_STATUS.values())}


def _is_missing(value: object) -> bool:
    return value is None


class Problem(BaseModel):
    """An error (RFC 9457). `type` is stable; `detail` is written for people and may change."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(
        description="Type of the problem. Its path on the service returns an explanation.",
        examples=["/problems/unknown-model"],
    )
    title: str = Field(description="Title of the type.", examples=["Unknown model"])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(
        description="What was wrong and what to do, as full sentences.",
        examples=["No model for embed is named 'resnet'. Choose one of: dlib, sface."],
    )
    instance: str | None = Field(
        None, exclude_if=_is_missing, description="Path of the request.", examples=["/embed"]
    )
    field: str | None = Field(
        None,
        exclude_if=_is_missing,
        description="Parameter or field of the request that caused the problem, if one did.",
        examples=["model"],
    )
    known: list[str] | None = Field(
        None,
        exclude_if=_is_missing,
        description="Names that are valid in place of the unknown one.",
        examples=[["dlib", "sface"]],
    )
    limit: int | None = Field(
        None, exclude_if=_is_missing, description="The exceeded limit, in bytes or pixels."
    )

    @property
    def kind(self) -> str:
        """The type and the field for the summary of a run, such as `not-an-image (image)`."""
        slug = self.type.rpartition("/")[2]
        return f"{slug} ({self.field})" if self.field else slug

    def under(self, root: str) -> "Problem":
        """Return the problem of a service whose paths begin with a root path.

        Args:
            root: the root path, without a slash at its end; empty if there is none.
        """
        return self.model_copy(update={"type": f"{root}{self.type}"})


def retry_after(wait_s: float = 0.0) -> str:
    """Return the value of the header `Retry-After`, which every 503 has.

    It is random, so that refused clients do not all come back at the same time.

    Args:
        wait_s: expected seconds until the service can accept the request; 0 if they are not known.

    Returns:
        Whole seconds, 1 to 60, and not less than the expected ones up to 40.
    """
    least = max(1, math.ceil(min(wait_s, _MAX_WAIT_S)))
    return str(random.randint(least, max(least + 1, int(least * _SPREAD))))


def of_error(error: errors.FacetError, limits: Limits | None = None, instance: str | None = None) -> Problem:
    """Return the problem for a domain error.

    Args:
        error: the error.
        limits: limits on requests, from which the field `limit` is filled; without them it stays empty.
        instance: path of the request, if there is one.
    """
    kind = next((BY_ERROR[base] for base in type(error).__mro__ if base in BY_ERROR), BY_STATUS[500])
    problem = of_kind(kind, error.detail, instance, error.field)
    if isinstance(error, errors.UnknownModel):
        problem.known = error.known
    if limits is not None and isinstance(error, errors.TooManyPixels):
        problem.limit = limits.image_pixels
    if limits is not None and isinstance(error, errors.TooManyBytes):
        combined = error.limit or limits.bytes_of(2)  # without a field: a batch, or both images of /verify
        problem.limit = limits.image_bytes if error.field else combined
    return problem


_REASONS = {
    "float_parsing": "It must be a number, such as 0.5",
    "int_parsing": "It must be a whole number",
    "int_from_float": "It must be a whole number",
}
"""Messages in place of pydantic's, by the type of its error."""


def of_validation(faults: Sequence[Mapping[str, Any]]) -> errors.BadParameter:
    """Return the first error of pydantic's `errors()` as a domain error that names the field."""
    first = faults[0]
    field = str(first["loc"][-1]) if first["loc"] else None
    if first["type"] == "missing" and field is not None:
        return errors.BadParameter(f"The field {field} is missing. Send it.", field)
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "It must", 1)
    reason = _REASONS.get(first["type"], message)
    if isinstance(first.get("input"), str) and "=" in first["input"]:
        reason = f"{reason}. Parameters are separated by &"
    given = repr(first.get("input"))
    given = given if len(given) <= 80 else f"{given[:77]}..."
    return errors.BadParameter(f"The value {given} of {field or 'the request'} is invalid. {reason}.", field)


def of_status(status: int, detail: str, instance: str | None = None) -> Problem:
    """Return the problem for an HTTP status without a domain error; 503 means overloaded.

    Args:
        status: 503, or a key of `BY_STATUS`.
        detail: what was wrong, as a full sentence.
        instance: path of the request, if it is known.
    """
    kind = BY_ERROR[errors.Overloaded] if status == 503 else BY_STATUS[status]
    return of_kind(kind, detail, instance)


def of_kind(kind: Kind, detail: str, instance: str | None, field: str | None = None) -> Problem:
    """Return a problem of the given type.

    Args:
        kind: the type.
        detail: what was wrong, as a full sentence.
        instance: path of the request, if it is known.
        field: parameter or field of the request that caused the problem, if one did.
    """
    return Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=instance, field=field
    )
