"""Exports that were written are read, and other lines are refused before they take memory."""

import json
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from pydantic import ValidationError

from app.errors import BadParameter
from app.gallery.records import Collection, Face, Limits, Person, PersonDetails, PersonRecord
from app.service.gallery_files import MAX_LINE_BYTES, export_lines, read_export
from app.service.gallery_requests import MAX_METADATA_BYTES, MAX_NAME

NOW = datetime(2030, 1, 1, tzinfo=UTC)
COLLECTION = Collection(1, "family", "fused", "fused-1", 256, 1, 0, NOW)
HEADER = next(iter(export_lines(COLLECTION, [])))
PERSON = {"id": "0" * 32, "created": "2030-01-01T00:00:00Z"}


def line(faces: str = "[]", more: str = "") -> bytes:
    """A line of a person, with these faces and further fields in JSON."""
    return f'{{"person": {json.dumps(PERSON)}, "faces": {faces}{more}}}\n'.encode()


def test_the_largest_person_is_exported_and_imported() -> None:
    commas = "," * MAX_NAME
    room = MAX_METADATA_BYTES - len(json.dumps({"a": ""}))
    person = Person(1, "0" * 32, PersonDetails(commas, commas, {"a": "," * room}), 0, NOW)
    number = Limits().faces_per_person
    faces = [
        Face(n, f"{n:032x}", person.id, (0.1, 0.2, 0.3, 0.4), 0.9, 0.5, b"0" * 32, NOW, None)
        for n in range(1, number + 1)
    ]
    vectors = np.eye(number, COLLECTION.dimension, dtype=np.float32)
    vectors[COLLECTION.dimension :, 0] = 1
    record = PersonRecord(person, faces, vectors)
    content = read_export(BytesIO(b"".join(export_lines(COLLECTION, [record]))), NOW)
    (read,) = content.records
    assert read.person.details == person.details
    assert [face.id for face in read.faces] == [face.id for face in faces]
    assert (read.vectors == vectors).all()


@pytest.mark.parametrize(
    "long",
    [
        line(f"[{'0,' * 40_000}0]"),
        line(f"[{'[' * 20_000}{']' * 20_000},{'{},' * 10_000}0]"),
        line(more="".join(f', "{n}": 0' for n in range(40_000))),
        line().replace(b'"faces"', b'"metadata": {"a": [' + b"0," * 40_000 + b'0]}, "faces"'),
    ],
)
def test_a_line_with_too_many_values_is_not_parsed(long: bytes) -> None:
    with pytest.raises(BadParameter, match=r"^Line 2 .*more values than a person can have.* Send ") as error:
        read_export(BytesIO(HEADER + long), NOW)
    assert error.value.__context__ is None


def test_only_the_first_wrong_face_is_looked_for() -> None:
    with pytest.raises(BadParameter, match=r"faces\.0") as error:
        read_export(BytesIO(HEADER + line("[0, 0, 0]")), NOW)
    assert isinstance(error.value.__context__, ValidationError)
    assert error.value.__context__.error_count() == 1


def test_reading_stops_at_a_line_that_is_too_long() -> None:
    source = BytesIO(HEADER + b" " * (MAX_LINE_BYTES + 10) + line())
    with pytest.raises(BadParameter, match=rf"^Line 2 .*more than {MAX_LINE_BYTES} bytes"):
        read_export(source, NOW)
    assert source.tell() < len(source.getvalue())


def test_lines_behind_a_fault_are_not_read() -> None:
    source = BytesIO(HEADER + b"ab\n" * 1000)
    with pytest.raises(BadParameter, match=r"^Line 2 "):
        read_export(source, NOW)
    assert source.tell() == len(HEADER) + 3
