"""Domain errors. This module imports nothing of HTTP and no framework.

`service/problems.py` has the table that turns them into problem+json answers.
"""


class FacetError(Exception):
    """Base of every error that the product raises on purpose.

    `detail` is a sentence for people. `field` names the part of the request at fault, if there is one.
    """

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class BadImage(FacetError):
    """The bytes sent as an image cannot be used."""


class NotAnImage(BadImage):
    """The bytes are not an image of any known format."""


class UnsupportedFormat(BadImage):
    """The image has a format that the service does not read."""


class TruncatedImage(BadImage):
    """The image's data ends early or is damaged."""


class TooManyPixels(BadImage):
    """Width times height exceeds the limit; the image was not decoded."""


class TooManyBytes(FacetError):
    """The body, or an image in it, exceeds the byte limit; reading stopped there."""

    def __init__(self, detail: str, field: str | None = None, limit: int | None = None) -> None:
        super().__init__(detail, field)
        self.limit = limit


class BadParameter(FacetError):
    """A query parameter or a form field has an invalid value."""


class UnsupportedMediaType(FacetError):
    """The request's content type is not accepted."""


class BodyTimeout(FacetError):
    """The body, or the next part of it, did not arrive in time."""


class Unauthorized(FacetError):
    """The request has no valid API key."""


class UnknownModel(FacetError):
    """No loaded model of that name does the task; or, with `name` None, no loaded model does it at all."""

    def __init__(self, name: str | None, task: str, known: list[str]) -> None:
        if known:
            detail = f"No model named {name!r} does {task}; known: {', '.join(known)}."
        else:
            detail = f"No model for {task} is loaded; FACE_MODELS selects the models."
        super().__init__(detail, "model")
        self.known = known


class NoFace(FacetError):
    """The detector found no face in a picture that must contain one."""


class NotReady(FacetError):
    """The service is starting or stopping."""


class Overloaded(FacetError):
    """More requests are waiting than the service admits."""


class DeadlineExceeded(FacetError):
    """The request was not finished within its time limit; the rest of its work was dropped."""


class Abandoned(FacetError):
    """The client has disconnected, or the service has stopped, before the answer was ready."""


class OutOfMemory(FacetError):
    """The device or the machine has not enough memory for the work."""


class BadModel(FacetError):
    """A model file, its spec or the manifest is missing, damaged, unknown or inconsistent."""


class DeviceUnavailable(FacetError):
    """The requested device cannot run the models."""
