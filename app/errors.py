"""Domain errors, independent of HTTP and of any framework.

`app/service/problems.py` maps each error to an RFC 9457 problem.
"""

import re
from typing import Any

_OUT_OF_MEMORY = re.compile(
    r"out of memory|insufficient memory|cannot allocate memory|failed to allocate"
    r"|smaller than requested bytes|alloc_?failed|allocation_failed|bad_alloc|bad allocation"
    r"|can't start new thread",
    re.IGNORECASE,
)
"""Messages of ONNX Runtime, CUDA, cuBLAS, cuDNN, C++, OpenCV, libjpeg, Python and Linux."""


class FacetError(Exception):
    """Base class of all errors that Facet raises deliberately.

    Attributes:
        detail: what was wrong and what to do, as full sentences.
        field: name of the parameter or field of the request that caused the error, if there is one.
        retry_after_s: expected seconds until the request can succeed; 0 if they are not known.
    """

    retry_after_s = 0.0

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how `pickle` makes an equal error, whatever the parameters of a subclass are."""
        return _restored, (type(self), self.detail, self.__dict__)


def _restored(kind: type[FacetError], detail: str, attributes: dict[str, Any]) -> FacetError:
    error = kind.__new__(kind, detail)
    error.__dict__.update(attributes)
    return error


class BadImage(FacetError):
    """The bytes sent as an image cannot be used."""


class NotAnImage(BadImage):
    """The bytes are not an image of any known format."""


class UnsupportedFormat(BadImage):
    """The image format is known, but the service does not read it."""


class TruncatedImage(BadImage):
    """The image data is damaged or incomplete."""


class TooManyPixels(BadImage):
    """The image has more pixels than the limit allows; it was not decoded."""


class TooManyBytes(FacetError):
    """The body or an image in it exceeds its limit in bytes; reading stopped at the limit.

    Attributes:
        limit: the exceeded limit in bytes, for a batch; None where it follows from the limit of one image.
    """

    def __init__(self, detail: str, field: str | None = None, limit: int | None = None) -> None:
        super().__init__(detail, field)
        self.limit = limit


class BadParameter(FacetError):
    """A query parameter or a form field has an invalid value."""


class UnsupportedMediaType(FacetError):
    """The content type or the content encoding of the request is not supported."""


class BodyTimeout(FacetError):
    """The body of the request, or the next part of it, did not arrive in time."""


class Unauthorized(FacetError):
    """The request has no valid API key."""


class CrossSite(FacetError):
    """A web page of another host sends a request that could change the gallery."""


class UnknownModel(FacetError):
    """No loaded model performs the task under this name, or at all if `name` is None.

    Attributes:
        known: names of the loaded models that perform the task.
    """

    def __init__(self, name: str | None, task: str, known: list[str]) -> None:
        if known:
            detail = f"No model for {task} is named {name!r}. Choose one of: {', '.join(known)}."
        else:
            detail = (
                f"No model for {task} is loaded. The settings FACE_MODELS_DIR, FACE_MODELS and FACE_WEIGHTS "
                "select the models to load."
            )
        super().__init__(detail, "model")
        self.known = known


class NoFace(FacetError):
    """The detector found no face in an image that must contain a face."""


class SeveralFaces(FacetError):
    """An image that must contain exactly one face contains several."""


class UnknownId(FacetError):
    """No collection, person or face has this id. `field` says which of them was looked for."""


class OtherEmbedding(FacetError):
    """The vectors of a collection or of an import cannot be compared with those of the loaded models."""


class DuplicateExternalId(FacetError):
    """Another person of the collection has this external id."""


class GalleryLimit(FacetError):
    """The gallery, a collection or a person would exceed a limit."""


class GalleryUnavailable(FacetError):
    """The gallery is switched off, or its store cannot be read or written."""


class NotReady(FacetError):
    """The service is starting or stopping."""


class Overloaded(FacetError):
    """The service has no free place, connection or memory for the request."""

    def __init__(self, detail: str, field: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(detail, field)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(FacetError):
    """The request was not finished within its time limit; its remaining work was dropped.

    `detail` says whether a change of the gallery may have been made.
    """


class Abandoned(FacetError):
    """The client disconnected, or the service stopped, before the request was finished."""


class OutOfMemory(FacetError):
    """The device or the machine does not have enough memory for the request."""


class BadModel(FacetError):
    """A model file, its spec or the manifest is missing, damaged, invalid or inconsistent."""


class DeviceUnavailable(FacetError):
    """The requested device cannot run the models."""


class CannotStart(FacetError):
    """The system does not give the service what it needs to start. No request sees this error."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of any library means that there is not enough memory, or no thread."""
    if isinstance(error, FacetError | MemoryError):  # the text of a FacetError may come from a client
        return isinstance(error, MemoryError | OutOfMemory)
    return _OUT_OF_MEMORY.search(str(error)) is not None
