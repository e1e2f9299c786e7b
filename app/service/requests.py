"""Query parameters: types, ranges and defaults. The command line uses them to validate its options."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BadParameter
from app.pipeline.detector import DetectOptions
from app.pipeline.orientation import Orientation
from app.service.boxes import FIELD, ONE_FIELD
from app.service.names import nearest

_OPTIONS = DetectOptions()

_FIELDS = ("image", "image_a", "image_b", FIELD, ONE_FIELD)
"""Fields of bodies, which clients send as parameters by mistake."""

_MAX_NAME = 80

Model = Annotated[
    str | None,
    Field(
        description="Name of a model for the task of the route, see `/models`. Without it, the default model "
        "is used."
    ),
]


MinFaceSize = Annotated[
    float,
    Field(
        ge=6,
        allow_inf_nan=False,
        description="Side of the smallest face to search for, in pixels. Larger values are faster. Values "
        "under 12 are refused if the image, enlarged for them, would exceed the pixel limit. Ignored if the "
        "request gives the boxes of the faces.",
    ),
]

FaceScore = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Minimum score of a face. Without it, the threshold of the detector is used. Ignored if "
        "the request gives the boxes of the faces.",
    ),
]

MaxFaces = Annotated[
    int | None,
    Field(
        ge=1,
        description="Maximum number of faces to return, those with the highest scores. Ignored if the "
        "request gives the boxes of the faces.",
    ),
]

FaceOrientation = Annotated[
    Orientation,
    Field(
        description="`upright` finds upright faces. With `auto`, an image in which no upright face is found "
        "is also searched turned by 90, 180 and 270 degrees, which takes up to four times as long. If the "
        "request gives the boxes of the faces, `auto` reads each face at the turn that fits it best."
    ),
]

Similarity = Annotated[
    float | None,
    Field(
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Minimum similarity for the same person. Without it, the threshold that is calibrated "
        "for `far` is used.",
    ),
]

Far = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="False accept rate (FAR): selects the threshold that is calibrated for it. It must be in "
        "the calibrated range of the model, see `/models`. Without it, the `default_far` of the model is "
        "used. Cannot be combined with `threshold`.",
    ),
]


class Query(BaseModel):
    """Query parameters of a route: unknown ones are refused, empty ones get their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Return the parameters without the empty ones, which get their defaults.

        Raises:
            BadParameter: a parameter is unknown.
        """
        if not isinstance(data, Mapping):
            return data
        for name in data:
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise BadParameter(
                    f"The query parameter {name[:_MAX_NAME]!r} is unknown. {_hint(name, cls.model_fields)}"
                    f"Known parameters: {known}.",
                    name[:_MAX_NAME],
                )
        return {name: value for name, value in data.items() if value not in ("", None)}


def _hint(name: str, known: Iterable[str]) -> str:
    """Return what an unknown parameter was meant to be, as a sentence; empty if it is like none."""
    if name.startswith("amp;"):
        return "Separate parameters by &, not by &amp;. "
    if name in _FIELDS:
        return f"{name} is a field of the body: send it in a form or in JSON. "
    like = nearest(name, known)
    return f"Did you mean {like}? " if like else ""


class DetectQuery(Query):
    """Parameters of `/detect`, `/landmarks`, `/embed` and their batch routes."""

    model: Model = None
    min_face_size: MinFaceSize = _OPTIONS.min_face_size
    threshold: FaceScore = _OPTIONS.threshold
    max_faces: MaxFaces = _OPTIONS.max_faces
    orientation: FaceOrientation = _OPTIONS.orientation
    pose: bool = Field(
        False,
        description="Whether to add the `pose` of each head: yaw, pitch and roll. Needs a loaded face mesh.",
    )
    quality: bool = Field(
        False,
        description="Whether to add the `quality` of each face for recognition. It takes as long as an "
        "embedding, and nothing more on `/embed`. Needs the loaded embedder `fused`.",
    )

    def options(self, limit: int) -> DetectOptions:
        """Return the options for the detector.

        Args:
            limit: maximum number of faces in a response, see `Limits.faces`.

        Raises:
            BadParameter: `max_faces` exceeds the limit.
        """
        if self.max_faces is not None and self.max_faces > limit:
            raise BadParameter(
                f"The parameter max_faces is {self.max_faces}; it must not exceed {limit}.", "max_faces"
            )
        return DetectOptions(
            self.min_face_size, self.threshold, self.max_faces or limit, orientation=self.orientation
        )


class VerifyQuery(Query):
    """Parameters of `/verify`."""

    model: Model = None
    threshold: Similarity = None
    far: Far = None
    orientation: Orientation = Field(
        _OPTIONS.orientation,
        description="`upright` compares upright faces. With `auto`, an image in which no upright face is "
        "found is also searched turned by 90, 180 and 270 degrees.",
    )
