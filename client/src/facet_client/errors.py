"""The exceptions of the client: one base class, and a class for each family of problems.

`of_problem` chooses the class by the type of the problem, and by the HTTP status if the type is not known, so
that the problems of a newer service and of proxies are raised too.
"""

from __future__ import annotations

from facet_client.models.base import Problem


class FacetError(Exception):
    """Base class of all exceptions that the client raises for a request."""


class ConnectionFailed(FacetError):
    """No complete answer arrived. Whether the service has done the operation is not known.

    `__cause__` is the exception of httpx.
    """


class RequestTimeout(ConnectionFailed):
    """No answer arrived in time."""


class UnexpectedAnswer(FacetError):
    """The answer is not what the service documents. The address is perhaps not that of the service."""


class ProblemError(FacetError):
    """The service, or a proxy before it, refused the request.

    Attributes:
        problem: all fields of the problem.
        type: type of the problem as the service sends it, such as `/problems/no-face`.
        slug: the last part of the type, such as `no-face`.
        title: the type in words.
        status: the HTTP status.
        detail: what was wrong and what to do.
        instance: path of the request, if the service names it.
        field: parameter or field that caused the problem, if one did.
        known: the valid names, if a name is unknown.
        limit: the exceeded limit in bytes or pixels, if there is one.
        retry_after_s: seconds after which the service can probably do it, if it says so.
        request_id: id of the request in the log of the service, if the answer has one.
    """

    def __init__(
        self, problem: Problem, retry_after_s: float | None = None, request_id: str | None = None
    ) -> None:
        self.problem = problem
        self.type, self.slug, self.title = problem.type, problem.slug, problem.title
        self.status, self.detail, self.instance = problem.status, problem.detail, problem.instance
        self.field, self.known, self.limit = problem.field, problem.known, problem.limit
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        super().__init__(problem, retry_after_s, request_id)  # makes the exception picklable

    def __str__(self) -> str:
        return f"{self.slug} ({self.status}): {self.detail}"


class BadImage(ProblemError):
    """An image cannot be read: it is no image, is damaged, is too large or has another format."""


class NoUsableFace(ProblemError):
    """An image has no face, or several where exactly one is demanded, or a person has no face."""


class BadRequest(ProblemError):
    """The request is invalid, for example a parameter, the name of a model, or its size."""


class AccessDenied(ProblemError):
    """The API key is missing or wrong, or the service does not answer to this host name."""


class NotFound(ProblemError):
    """There is no collection, person, face or path with this name or id."""


class Conflict(ProblemError):
    """The state of the gallery forbids it: other vectors, an external id in use, or a limit."""


class Unavailable(ProblemError):
    """The service is not ready, overloaded, too slow or out of memory, or its gallery cannot be used."""


class ServiceFault(ProblemError):
    """The service failed. Its log has the cause, with `request_id`."""


BY_SLUG: dict[str, type[ProblemError]] = {
    "not-an-image": BadImage,
    "unsupported-format": BadImage,
    "truncated-image": BadImage,
    "too-many-pixels": BadImage,
    "no-face": NoUsableFace,
    "several-faces": NoUsableFace,
    "bad-parameter": BadRequest,
    "bad-request": BadRequest,
    "method-not-allowed": BadRequest,
    "not-acceptable": BadRequest,
    "too-many-bytes": BadRequest,
    "unknown-model": BadRequest,
    "unsupported-media-type": BadRequest,
    "cross-site": AccessDenied,
    "misdirected-request": AccessDenied,
    "unauthorized": AccessDenied,
    "not-found": NotFound,
    "unknown-id": NotFound,
    "duplicate-external-id": Conflict,
    "gallery-limit": Conflict,
    "other-embedding": Conflict,
    "abandoned": Unavailable,
    "body-timeout": Unavailable,
    "deadline-exceeded": Unavailable,
    "gallery-unavailable": Unavailable,
    "head-timeout": Unavailable,
    "not-ready": Unavailable,
    "out-of-memory": Unavailable,
    "overloaded": Unavailable,
    "bad-model": ServiceFault,
    "device-unavailable": ServiceFault,
    "internal-error": ServiceFault,
}
"""The class of each type of problem."""

_BY_STATUS: dict[int, type[ProblemError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    407: AccessDenied,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    421: AccessDenied,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def of_problem(
    problem: Problem, retry_after_s: float | None = None, request_id: str | None = None
) -> ProblemError:
    """Return the exception for a problem, for example for one among the results of several images.

    Args:
        problem: the problem.
        retry_after_s: seconds of the header `Retry-After`, if the answer has it.
        request_id: id of the request, if the answer has it.
    """
    kind = BY_SLUG.get(problem.slug) or _BY_STATUS.get(problem.status)
    if kind is None:
        kind = BadRequest if problem.status < 500 else ServiceFault
    return kind(problem, retry_after_s, request_id)
