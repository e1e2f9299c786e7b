"""Parameters and JSON bodies of the routes of the gallery. The command line uses them, too."""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    field_validator,
)

from app.errors import BadParameter
from app.gallery.records import PersonDetails
from app.pipeline.detector import DetectOptions
from app.pipeline.open_set import DEFAULT_FPIR
from app.service.requests import (
    DetectQuery,
    FaceOrientation,
    FaceScore,
    Far,
    MaxFaces,
    MinFaceSize,
    Query,
    Similarity,
)

_OPTIONS = DetectOptions()

MAX_NAME = 200
"""Maximum characters of a name and of an external id."""

MAX_METADATA_BYTES = 4096
"""Maximum size of the metadata of a person as JSON, in bytes."""

MAX_TOP = 100
MAX_PAGE = 1000

COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The names of collections."""

_CONTROL = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories of the signs that a name must not contain."""

_BIDI_CONTROL = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
"""Bidirectional classes of the signs that a name must not contain, because they reorder the text after it."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def check_collection_name(name: str) -> str:
    """Return a name for a new collection.

    Raises:
        BadParameter: it is not a valid name.
    """
    if not COLLECTION.fullmatch(name):
        raise BadParameter(
            f"The name {name[:80]!r} is not a valid name of a collection. Use up to 64 letters, digits and "
            "the signs . _ - and begin with a letter or a digit.",
            "collection",
        )
    return name


def _time(value: object) -> object:
    """Return a time in UTC.

    Raises:
        ValueError: the text is not a time as RFC 3339 has it.
    """
    if not isinstance(value, str):
        if value is None or isinstance(value, datetime):
            return value
        raise ValueError("It must be a time such as 2030-12-31T23:59:59Z (RFC 3339)")
    text = value.strip().replace(" ", "+") if "T" in value.upper() else value  # + in a query string
    if not _RFC3339.fullmatch(text):
        raise ValueError("It must be a time such as 2030-12-31T23:59:59Z (RFC 3339)")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"It is not a valid time: {error}") from None


Time = Annotated[datetime | None, BeforeValidator(_time)]

_EXPIRES = (
    "When it is deleted automatically, as RFC 3339 has it, for example 2030-12-31T23:59:59Z. It must be in "
    "the future. Null for never."
)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CollectionBody(_Body):
    """The optional body of `PUT /collections/{collection}`."""

    model: str | None = Field(
        None,
        description="Name of the embedder of the collection, see `/models`. Without it, the default embedder "
        "is used. An existing collection keeps its model; another one is refused.",
        examples=["fused"],
    )


class PersonBody(_Body):
    """What a caller says about a person."""

    name: str | None = Field(None, description="Name of the person. It need not be unique.")
    external_id: str | None = Field(
        None, description="Id of the person in your own system, unique in the collection."
    )
    metadata: Annotated[dict[str, JsonValue], WithJsonSchema({"type": "object"})] | None = Field(
        None, description="A JSON object with anything you need, at most 4,096 bytes."
    )
    expires: Time = Field(None, description=_EXPIRES)

    @field_validator("name", "external_id")
    @classmethod
    def _check_text(cls, text: str | None) -> str | None:
        if text is None:
            return None
        text = text.strip()
        if not text:
            raise ValueError("It must not be empty. Leave it out, or send null")
        if len(text) > MAX_NAME:
            raise ValueError(f"It must have at most {MAX_NAME} characters")
        if any(
            unicodedata.category(sign) in _CONTROL or unicodedata.bidirectional(sign) in _BIDI_CONTROL
            for sign in text
        ):
            raise ValueError("It must not contain control characters")
        return text

    @field_validator("metadata")
    @classmethod
    def _check_size(cls, metadata: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if metadata is None:
            return None
        try:
            size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
        except (ValueError, RecursionError):
            raise ValueError("It must be a JSON object without NaN, infinity and lone surrogates") from None
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"It has {size} bytes; at most {MAX_METADATA_BYTES} are allowed")
        return metadata

    def details(self) -> PersonDetails:
        """Return the details of a new person."""
        return PersonDetails(self.name, self.external_id, self.metadata, self.expires)

    def changes(self) -> Mapping[str, Any]:
        """Return the fields that were sent, by name; a null removes the value."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class MergeBody(_Body):
    """The body of `.../merge`."""

    into: str = Field(description="Id of the person who gets the faces.")


class MoveBody(_Body):
    """The body of `.../move`."""

    person: str = Field(description="Id of the person who gets the face.")


class PeopleQuery(Query):
    """Parameters of `GET /collections/{collection}/people`."""

    limit: int = Field(100, ge=1, le=MAX_PAGE, description="Maximum number of people in the response.")
    cursor: str | None = Field(
        None, description="The `cursor` of the previous response. Without it, the list begins."
    )
    name: str | None = Field(
        None, description="Return only people whose name contains this text. Case is ignored."
    )
    external_id: str | None = Field(None, description="Return only the person with this external id.")


class FacesQuery(Query):
    """Parameters of `POST /collections/{collection}/people/{person}/faces`."""

    faces: Literal["largest", "one"] = Field(
        "largest",
        description="Which face of each image without a `box` is stored: the `largest`, chosen as `/verify` "
        "does, or exactly `one`; then an image with several faces gets a problem.",
    )
    expires: Time = Field(None, description=_EXPIRES)
    min_face_size: MinFaceSize = _OPTIONS.min_face_size
    threshold: FaceScore = _OPTIONS.threshold
    orientation: FaceOrientation = _OPTIONS.orientation

    def detection(self) -> DetectQuery:
        """Return the parameters of the detection."""
        return _detection(self)


class IdentifyQuery(Query):
    """Parameters of `POST /collections/{collection}/identify`."""

    fpir: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="False positive identification rate: the share of strangers who may be taken for "
        "somebody of the collection. It selects the threshold for the present number of faces. Without it, "
        f"{DEFAULT_FPIR:g} is used. Cannot be combined with `threshold`.",
    )
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Minimum similarity to be somebody. Without it, the threshold for `fpir` is used.",
    )
    top: int = Field(5, ge=1, le=MAX_TOP, description="Maximum number of `candidates` for each face.")
    min_face_size: MinFaceSize = _OPTIONS.min_face_size
    max_faces: MaxFaces = _OPTIONS.max_faces
    orientation: FaceOrientation = _OPTIONS.orientation

    def detection(self) -> DetectQuery:
        """Return the parameters of the detection."""
        return _detection(self, without="threshold")


class PersonVerifyQuery(Query):
    """Parameters of `POST /collections/{collection}/people/{person}/verify`."""

    threshold: Similarity = None
    far: Far = None
    orientation: FaceOrientation = _OPTIONS.orientation


class PurgeQuery(Query):
    """Parameters of `POST /collections/{collection}/purge`."""

    dry_run: bool = Field(False, description="Whether to list what has expired without deleting it.")


def _detection(query: Query, without: str = "") -> DetectQuery:
    """Return the parameters of the detection among those that a request has set."""
    names = (query.model_fields_set & DetectQuery.model_fields.keys()) - {without}
    return DetectQuery.model_validate({name: getattr(query, name) for name in names})
