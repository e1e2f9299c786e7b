"""The names and ids in the paths of the gallery's routes."""

import base64
import re
from typing import Annotated

from fastapi import Depends
from fastapi import Path as PathParameter

from app.errors import BadParameter, UnknownId
from app.service.gallery_requests import COLLECTION

_ID = re.compile(r"[0-9a-f]{32}")
_CURSOR = re.compile(rb"after:(\d{1,18})")
_SHOWN = 80


async def known_form(
    collection: Annotated[str, PathParameter(description="Name of the collection.")],
) -> str:
    """Return the name of a collection.

    Raises:
        UnknownId: no collection can have this name.
    """
    if not COLLECTION.fullmatch(collection):
        error = unknown("collection", collection)
        raise error
    return collection


async def person_id(person: Annotated[str, PathParameter(description="Id of the person.")]) -> str:
    """Return the id of a person.

    Raises:
        UnknownId: no person can have this id.
    """
    return checked_id("person", person)


async def face_id(face: Annotated[str, PathParameter(description="Id of the face.")]) -> str:
    """Return the id of a face.

    Raises:
        UnknownId: no face can have this id.
    """
    return checked_id("face", face)


def checked_id(kind: str, text: str) -> str:
    """Return an id of a person or a face.

    Raises:
        UnknownId: nothing can have this id.
    """
    if not _ID.fullmatch(text):
        error = unknown(kind, text)
        raise error
    return text


def unknown(kind: str, text: str) -> UnknownId:
    """Return the error for an unknown name or id."""
    noun = "name" if kind == "collection" else "id"
    return UnknownId(f"There is no {kind} with the {noun} {text[:_SHOWN]!r}.", kind)


def cursor_of(key: int) -> str:
    """Return the cursor after the person with this key."""
    return base64.urlsafe_b64encode(f"after:{key}".encode()).decode().rstrip("=")


def key_of(cursor: str | None) -> int:
    """Return the key of a cursor; 0 without one.

    Raises:
        BadParameter: the text is not a cursor of this service.
    """
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
    except ValueError:
        text = b""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise BadParameter(
            "The parameter cursor is not valid. Send the cursor of the previous response, or none to begin.",
            "cursor",
        )
    return int(found[1])


CollectionName = Annotated[str, Depends(known_form)]
PersonId = Annotated[str, Depends(person_id)]
FaceId = Annotated[str, Depends(face_id)]
