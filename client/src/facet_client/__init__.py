"""Client of Facet, the self-hosted face analysis service.

`Facet` has a method for each operation of the service, and `AsyncFacet` has the same methods as coroutines.
"""

from facet_client._version import __version__
from facet_client.clients import AsyncFacet, Facet
from facet_client.errors import (
    AccessDenied,
    BadImage,
    BadRequest,
    Conflict,
    ConnectionFailed,
    FacetError,
    NotFound,
    NoUsableFace,
    ProblemError,
    RequestTimeout,
    ServiceFault,
    Unavailable,
    UnexpectedAnswer,
    of_problem,
)
from facet_client.images import Image
from facet_client.models.base import Problem

__all__ = [
    "AccessDenied",
    "AsyncFacet",
    "BadImage",
    "BadRequest",
    "Conflict",
    "ConnectionFailed",
    "Facet",
    "FacetError",
    "Image",
    "NoUsableFace",
    "NotFound",
    "Problem",
    "ProblemError",
    "RequestTimeout",
    "ServiceFault",
    "Unavailable",
    "UnexpectedAnswer",
    "__version__",
    "of_problem",
]
