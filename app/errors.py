"""Domain errors. A leaf: nothing of HTTP, nothing of the frameworks.

`api/problems.py` holds the one table that turns them into problem+json answers.
"""


class FacetError(Exception):
    """Base of every error the product raises on purpose.

    `detail` is a sentence for people; `field` names the request's part at fault, where there is one.
    """

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class BadImage(FacetError):
    """The bytes given as an image cannot be used."""


class NotAnImage(BadImage):
    """The bytes are no image of any known kind."""


class UnsupportedFormat(BadImage):
    """An image, of a format the service does not read."""


class TruncatedImage(BadImage):
    """The image's data ends early or is damaged."""


class TooManyPixels(BadImage):
    """Width times height is over the limit; the image was not decoded."""


class TooManyBytes(FacetError):
    """The body, or one image in it, is over the byte limit; reading stopped there."""

    def __init__(self, detail: str, field: str | None = None, limit: int | None = None) -> None:
        super().__init__(detail, field)
        self.limit = limit


class BadParameter(FacetError):
    """A query parameter or a form field has no usable value."""


class UnsupportedMediaType(FacetError):
    """The request's content type is none of those accepted."""


class BodyTimeout(FacetError):
    """The body, or the next part of it, did not come in time."""


class Unauthorized(FacetError):
    """The request brings none of the service's keys."""


class UnknownModel(FacetError):
    """No model of that name does the task."""

    def __init__(self, name: str, task: str, known: list[str]) -> None:
        super().__init__(f"no model named {name!r} does {task}; known: {', '.join(known)}", "model")
        self.known = known


class NoFace(FacetError):
    """A picture that must hold a face holds none that the detector finds."""


class NotReady(FacetError):
    """The service is starting, or draining."""


class Overloaded(FacetError):
    """More work is waiting than the service admits."""


class DeadlineExceeded(FacetError):
    """The work was not done in the time a request may take; what was left of it was dropped."""


class Abandoned(FacetError):
    """Nobody waits for the answer any more: the client has gone, or the service has ended."""


class OutOfMemory(FacetError):
    """The device, or the machine, has no memory for the work."""


class BadModel(FacetError):
    """A model file, its spec or the manifest is missing, damaged, unknown or inconsistent."""


class DeviceUnavailable(FacetError):
    """The device asked for cannot run the models."""
