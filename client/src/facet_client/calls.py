"""Calls of the service, independent of how they are sent: what to send, and how to read the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from types import TracebackType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from facet_client.errors import ProblemError, UnexpectedAnswer, of_problem
from facet_client.images import Image, read_image
from facet_client.models.base import Problem

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)

Value: TypeAlias = str | float | bool | datetime | None
"""The value of a query parameter; with None the parameter is not sent."""

_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
"""What can be a name or an id in a path. Dots alone would name another path."""


class Retry(Enum):
    """In which cases a call is sent again after a 503."""

    NEVER = "never"
    IF_REFUSED = "if refused"
    """If the service refused the request before it did anything."""
    ALWAYS = "always"
    """Also if the service may have done it, because the call changes nothing."""


class Sink(Protocol[T_co]):
    """Takes the body of a response in chunks, as a context manager. Without `finish` nothing is kept."""

    def __enter__(self) -> Sink[T_co]: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> T_co:
        """Keep what was written, and return the result of the call."""


@dataclass(frozen=True)
class Download(Generic[T]):
    """Reads a response whose body is too large for the memory.

    Attributes:
        sink: makes the sink for the body.
    """

    sink: Callable[[], Sink[T]]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call of the service.

    Attributes:
        read: returns the result for a successful response, or downloads its body.
        path: names and ids for the fields of the path, by field.
        query: query parameters by name.
        images: images of a form, each with the name of its field.
        fields: further fields of the form, each with its value or the values of several parts.
        body: the JSON object of the body, if there is one.
        chunks: returns the chunks of the body from its beginning, if the body is a stream.
        content_type: media type of the body, if the body is a stream.
        accept: media type of the answer.
        retry: in which cases the call is sent again after a 503.
        timeout_s: seconds to wait for the answer; None for those of the client.
    """

    read: Callable[[httpx.Response], T] | Download[T]
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Value] = field(default_factory=dict)
    images: Iterable[tuple[str, Image]] = ()
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    chunks: Callable[[], Generator[bytes, None, None]] | None = None
    content_type: str | None = None
    accept: str = "application/json"
    retry: Retry = Retry.IF_REFUSED
    timeout_s: float | None = None


def request_of(call: Call[Any], route: str) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.build_request` for a call, without the stream of its body.

    Args:
        call: the call.
        route: method and path pattern, such as `GET /collections/{collection}`. The path becomes relative.

    Raises:
        OSError: the file of an image cannot be read.
        TypeError: an image is nothing that can be an image.
        ValueError: a name or an id cannot be one, a time has no time zone, or an array has another type.
    """
    method, _, pattern = route.partition(" ")
    request: dict[str, Any] = {
        "method": method,
        "url": pattern.format_map({name: _segment(name, value) for name, value in call.path.items()}),
        "params": {name: _text(value) for name, value in call.query.items() if value is not None},
        "headers": {"Accept": call.accept},
    }
    if call.content_type is not None:
        request["headers"]["Content-Type"] = call.content_type
    images = [(name, (name, read_image(image))) for name, image in call.images]
    if images:
        request |= {"files": images, "data": dict(call.fields)}
    elif call.body is not None:
        request["json"] = {
            name: _text(value) if isinstance(value, datetime) else value for name, value in call.body.items()
        }
    return request


def json_of(model: type[M]) -> Callable[[httpx.Response], M]:
    """Return a function that reads a response with JSON.

    Args:
        model: the type of the answer.
    """

    def read(response: httpx.Response) -> M:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise UnexpectedAnswer(
                f"The answer of {response.request.url.path} is not a {model.__name__}: {place}: "
                f"{first['msg']}. Check the address, and whether the client has the version of the service."
            ) from error

    return read


def no_content(response: httpx.Response) -> bool:
    """Return whether a deletion is complete: False if the service still erases the bytes."""
    return response.status_code != HTTPStatus.ACCEPTED


def error_of(response: httpx.Response) -> ProblemError:
    """Return the exception for a response that is no success. Its body must have been read."""
    problem = _problem_in(response) or Problem(
        title=response.reason_phrase, status=response.status_code, detail=_explanation(response)
    )
    return of_problem(problem, retry_after_s(response), response.headers.get("X-Request-ID"))


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of the header `Retry-After`; None if it has no number."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdecimal() else None


def _problem_in(response: httpx.Response) -> Problem | None:
    """Return the problem in the body; None if the body has none."""
    try:
        found = json.loads(response.content)
        if not isinstance(found, dict) or "type" not in found:
            return None
        return Problem.model_validate({"status": response.status_code} | found)
    except ValueError:
        return None


def _explanation(response: httpx.Response) -> str:
    """Return what a response that has no problem means."""
    path = response.request.url.path
    if response.is_redirect:
        return f"{path} is redirected to {response.headers['Location']}. Use that address for the client."
    return (
        f"The answer of {path} has the status {response.status_code} and no problem of Facet. A proxy sent "
        "it, or the address is not that of the service."
    )


def _segment(name: str, value: str) -> str:
    """Return a name or an id for a path.

    Raises:
        ValueError: it cannot be one, or would name another path.
    """
    if not _SEGMENT.fullmatch(value):
        raise ValueError(
            f"The {name} {value!r} is invalid: a name or an id in a path has letters, digits and the signs "
            ". _ - ~ and does not begin with a dot."
        )
    return value


def _text(value: str | float | bool | datetime) -> str:
    """Return a value as the service reads it.

    Raises:
        ValueError: a time has no time zone.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"The time {value} has no time zone. Pass for example datetime(2030, 12, 31, tzinfo=UTC)."
            )
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
