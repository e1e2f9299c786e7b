"""Errors as RFC 9457 problems: one table of statuses and types, for the API and the command line."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app import errors
from app.service.limits import Limits

MEDIA_TYPE = "application/problem+json"

RETRY_SECONDS = 1
"""Value of `Retry-After` in every 503."""


class Kind(NamedTuple):
    """A type of problem: its HTTP status, the last part of its URI, its title and its meaning."""

    status: int
    slug: str
    title: str
    about: str

    @property
    def uri(self) -> str:
        """The value of `type`, a path of the service."""
        return f"/problems/{self.slug}"


BY_ERROR: dict[type[errors.FacetError], Kind] = {
    errors.NotAnImage: Kind(
        422, "not-an-image", "Not an image", "The bytes are empty, or not a picture of any known format."
    ),
    errors.UnsupportedFormat: Kind(
        415, "unsupported-format", "Unsupported image format", "The picture has a format that is not read."
    ),
    errors.TruncatedImage: Kind(
        422, "truncated-image", "Truncated or damaged image", "The picture's data ends early or is damaged."
    ),
    errors.TooManyPixels: Kind(
        413,
        "too-many-pixels",
        "Too many pixels",
        "Width times height exceeds `limit`; the picture was not decoded.",
    ),
    errors.TooManyBytes: Kind(
        413, "too-many-bytes", "Too many bytes", "A picture exceeds `limit` bytes; reading stopped there."
    ),
    errors.BadParameter: Kind(
        422, "bad-parameter", "Bad parameter", "The parameter or field named by `field` has an invalid value."
    ),
    errors.UnknownModel: Kind(
        422,
        "unknown-model",
        "Unknown model",
        "No loaded model of that name does the task; `known` lists those that do.",
    ),
    errors.UnsupportedMediaType: Kind(
        415,
        "unsupported-media-type",
        "Unsupported content type",
        "The route does not read this content type.",
    ),
    errors.NoFace: Kind(
        422,
        "no-face",
        "No face found",
        "No face was found in the picture that `field` names.",
    ),
    errors.Unauthorized: Kind(401, "unauthorized", "Unauthorized", "The request has no valid API key."),
    errors.BodyTimeout: Kind(
        408, "body-timeout", "Body too slow", "The request's body, or a part of it, did not arrive in time."
    ),
    errors.NotReady: Kind(
        503, "not-ready", "Not ready", "The models are loading or warming up, or the service is stopping."
    ),
    errors.Overloaded: Kind(
        503, "overloaded", "Overloaded", "More requests are waiting than the service admits."
    ),
    errors.DeadlineExceeded: Kind(
        503, "deadline-exceeded", "Deadline exceeded", "The request was not finished in time and was dropped."
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
        "There is not enough memory for the request, even in the smallest batches.",
    ),
    errors.BadModel: Kind(500, "bad-model", "Bad model", "A model file is missing or damaged."),
    errors.DeviceUnavailable: Kind(
        500, "device-unavailable", "Device unavailable", "The requested device cannot run the models."
    ),
}

BY_STATUS: dict[int, Kind] = {
    400: Kind(400, "bad-request", "Bad request", "The request is not valid HTTP or not complete."),
    404: Kind(404, "not-found", "Not found", "This path does not exist."),
    405: Kind(405, "method-not-allowed", "Method not allowed", "The path does not support this method."),
    406: Kind(406, "not-acceptable", "Not acceptable", "The route offers none of the types in `Accept`."),
    408: Kind(408, "head-timeout", "Head too slow", "The request's head did not arrive in time."),
    500: Kind(500, "internal-error", "Internal error", "The service failed; its log has the cause."),
}

KINDS: dict[str, Kind] = {kind.slug: kind for kind in (*BY_ERROR.values(), *BY_STATUS.values())}


class Problem(BaseModel):
    """An error according to RFC 9457. `type` is stable; `detail` is for people and may change."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(examples=["/problems/unknown-model"])
    title: str = Field(examples=["Unknown model"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["No model named 'resnet' does embed; known: dlib, sface."])
    instance: str | None = Field(None, description="path of the request", examples=["/embed"])
    field: str | None = Field(None, description="parameter or field at fault", examples=["model"])
    known: list[str] | None = Field(None, description="valid names")
    limit: int | None = Field(None, description="the limit that was exceeded")


def of_error(error: errors.FacetError, limits: Limits | None = None, instance: str | None = None) -> Problem:
    """Return the problem for a domain error."""
    kind = next((BY_ERROR[base] for base in type(error).__mro__ if base in BY_ERROR), BY_STATUS[500])
    problem = of_kind(kind, error.detail, instance, error.field)
    if isinstance(error, errors.UnknownModel):
        problem.known = error.known
    if limits is not None and isinstance(error, errors.TooManyPixels):
        problem.limit = limits.image_pixels
    if limits is not None and isinstance(error, errors.TooManyBytes):
        combined = error.limit or limits.bytes_of(2)  # no field: both pictures of /verify, or of a batch
        problem.limit = limits.image_bytes if error.field else combined
    return problem


def of_validation(faults: Sequence[Mapping[str, Any]]) -> errors.BadParameter:
    """Return the first fault of pydantic's `errors()` as a domain error that names the field."""
    first = faults[0]
    field = str(first["loc"][-1]) if first["loc"] else None
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given = repr(first.get("input"))
    given = given if len(given) <= 80 else f"{given[:77]}..."
    return errors.BadParameter(
        f"The value {given} of {field or 'the request'} is invalid: it {reason}.", field
    )


def of_status(status: int, detail: str, instance: str | None = None) -> Problem:
    """Return a problem for a status without a domain error. A 503 is an overload."""
    kind = BY_ERROR[errors.Overloaded] if status == 503 else BY_STATUS[status]
    return of_kind(kind, detail, instance)


def of_kind(kind: Kind, detail: str, instance: str | None, field: str | None = None) -> Problem:
    """Return a problem of a kind."""
    return Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=instance, field=field
    )
