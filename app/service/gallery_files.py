"""Exports of collections: JSON lines with a header, a line per person, and a last line with the counts.

The header names the embedding contract, so that an import refuses vectors that cannot be compared. The last
line shows that the export is complete.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, FailFast, Field, ValidationError

from app.errors import BadParameter
from app.gallery import clock
from app.gallery.records import Collection, Face, Person, PersonRecord
from app.runtime.timing import check_request
from app.service.gallery_requests import PersonBody

MEDIA_TYPE = "application/x-ndjson"

MAX_LINE_BYTES = 16 << 20
"""Maximum size of one line: a person with 1,000 faces of 2,048 numbers has 11 MB."""

_MAX_LINE_MARKS = 32 << 10
"""Maximum number of commas and opening brackets of one line.

A person with 1,000 faces has 13,000, and at most 4,500 in the name, the external id and the metadata. Each
wrong value takes up to 2 KiB, and all are found before the first is reported.
"""
_MARKS = (b",", b"[", b"{")

_LENGTH_TOLERANCE = 1e-3


def _in_utc(time: datetime) -> datetime:
    """Return a time in UTC.

    Raises:
        ValueError: the time in UTC is before the year 1 or after the year 9999.
    """
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


L = TypeVar("L", bound=_Line)


class _Header(_Line):
    format: Literal["facet-collection"]
    version: Literal[1]
    collection: str
    model: str
    contract: str
    dimension: int = Field(gt=0, le=1 << 16)
    exported: UtcTime


class _Face(_Line):
    id: Id
    box: tuple[float, float, float, float]
    score: Share
    quality: Share | None
    source_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: UtcTime
    expires: UtcTime | None
    embedding: str


class _Person(PersonBody):
    id: Id
    created: UtcTime


class _PersonLine(_Line):
    person: _Person
    faces: Annotated[tuple[_Face, ...], FailFast()]


class _End(_Line):
    end: Literal[True]
    people: int
    faces: int


@dataclass(frozen=True)
class ExportedCollection:
    """The content of an export.

    Attributes:
        name: name of the collection.
        model: name of the embedder.
        contract: id of the embedding contract.
        dimension: length of a vector.
        records: the people with their faces.
    """

    name: str
    model: str
    contract: str
    dimension: int
    records: Iterable[PersonRecord]


def export_lines(collection: Collection, records: Iterable[PersonRecord]) -> Generator[bytes, None, None]:
    """Yield the lines of an export, each with its line break.

    Args:
        collection: the collection.
        records: its people.
    """
    yield _line(
        {
            "format": "facet-collection",
            "version": 1,
            "collection": collection.name,
            "model": collection.model,
            "contract": collection.contract,
            "dimension": collection.dimension,
            "exported": _time(clock.now()),
        }
    )
    people = faces = 0
    for record in records:
        people, faces = people + 1, faces + len(record.faces)
        details = record.person.details
        yield _line(
            {
                "person": {
                    "id": record.person.id,
                    "name": details.name,
                    "external_id": details.external_id,
                    "metadata": details.metadata,
                    "created": _time(record.person.created),
                    "expires": _time(details.expires),
                },
                "faces": [
                    {
                        "id": face.id,
                        "box": face.box,
                        "score": face.score,
                        "quality": face.quality,
                        "source_sha256": face.source.hex(),
                        "created": _time(face.created),
                        "expires": _time(face.expires),
                        "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
                    }
                    for face, vector in zip(record.faces, record.vectors, strict=True)
                ],
            }
        )
    yield _line({"end": True, "people": people, "faces": faces})


def open_export(source: BinaryIO, now: datetime) -> ExportedCollection:
    """Return the content of an export. What has expired is left out.

    The people are read one by one while they are used. The last of them is followed by the error of an export
    that is incomplete.

    Args:
        source: the export, which is read line by line.
        now: the time.

    Raises:
        BadParameter: a line is not valid, or the export is incomplete. The message names the line.
    """
    numbered = _numbered(source)
    number, first = next(numbered, (1, b""))
    header = _parse(_Header, first, number)
    return ExportedCollection(
        header.collection,
        header.model,
        header.contract,
        header.dimension,
        _records(numbered, header.dimension, now),
    )


def read_export(source: BinaryIO, now: datetime) -> ExportedCollection:
    """Return the content of an export, which is read completely; see `open_export`."""
    content = open_export(source, now)
    return replace(content, records=list(content.records))


def _numbered(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers, as long as the request is not over.

    Raises:
        BadParameter: a line is longer than any of an export.
    """
    for number in itertools.count(1):
        check_request()
        line = source.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            error = _fault(number, f"it has more than {MAX_LINE_BYTES} bytes")
            raise error
        if line.strip():
            yield number, line


def _records(numbered: Iterable[tuple[int, bytes]], dimension: int, now: datetime) -> Iterator[PersonRecord]:
    """Yield the people of an export.

    Args:
        numbered: the lines after the header, with their numbers.
        dimension: length of a vector.
        now: the time.

    Raises:
        BadParameter: a line is not valid, or the export is incomplete.
    """
    people = faces = 0
    ids: set[str] = set()
    end: _End | None = None
    for number, line in numbered:
        if end is not None:
            error = _fault(number, "it follows the last line of the export")
            raise error
        if line.lstrip().startswith(b'{"end"'):
            end = _parse(_End, line, number)
            continue
        parsed = _parse(_PersonLine, line, number)
        people, faces = people + 1, faces + len(parsed.faces)
        for one in (parsed.person.id, *(face.id for face in parsed.faces)):
            if one in ids:
                error = _fault(number, f"the id {one} occurs twice")
                raise error
            ids.add(one)
        if (record := _record(parsed, dimension, number, now)) is not None:
            yield record
    if end is None:
        raise BadParameter("The export is incomplete: its last line is missing. Export it again.", "body")
    if (end.people, end.faces) != (people, faces):
        raise BadParameter(
            f"The export is damaged: its last line counts {end.people} people and {end.faces} faces, but it "
            f"has {people} and {faces}. Export it again.",
            "body",
        )


def _record(line: _PersonLine, dimension: int, number: int, now: datetime) -> PersonRecord | None:
    """Return a person of an export; None if it has expired."""
    details = line.person.details()
    if details.expires is not None and details.expires <= now:
        return None
    faces = [face for face in line.faces if face.expires is None or face.expires > now]
    vectors = [_vector(face.embedding, dimension, number) for face in faces]
    person = Person(0, line.person.id, details, len(faces), line.person.created)
    return PersonRecord(
        person,
        [
            Face(
                key=0,
                id=face.id,
                person=person.id,
                box=face.box,
                score=face.score,
                quality=face.quality,
                source=bytes.fromhex(face.source_sha256),
                created=face.created,
                expires=face.expires,
            )
            for face in faces
        ],
        np.array(vectors, np.float32).reshape(-1, dimension),
    )


def _vector(text: str, dimension: int, number: int) -> np.ndarray:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _fault(number, "an embedding is not base64") from None
    if len(data) != 4 * dimension:
        raise _fault(number, f"an embedding has {len(data)} bytes, not {4 * dimension}")
    vector = np.frombuffer(data, "<f4").astype(np.float32)
    if not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) <= _LENGTH_TOLERANCE:
        raise _fault(number, "an embedding has not the length 1")
    return vector


def _parse(kind: type[L], line: bytes, number: int) -> L:
    if sum(map(line.count, _MARKS)) > _MAX_LINE_MARKS:
        raise _fault(number, "it has more values than a person can have")
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        reason = fault["msg"].removeprefix("Value error, ")
        raise _fault(number, f"{where}: {reason}" if where else reason) from None


def _fault(number: int, reason: str) -> BadParameter:
    return BadParameter(
        f"Line {number} is not a line of an export of Facet ({reason}). Send the file as `export` wrote it.",
        "body",
    )


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
