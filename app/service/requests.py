"""Query parameters: types, ranges and defaults. The command line validates its options by them too."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BadParameter
from app.pipeline.detector import DetectOptions

_OPTIONS = DetectOptions()

Model = Annotated[str | None, Field(description="name of a model from `/models`; the default model if empty")]


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Replace empty parameters by their defaults; refuse unknown ones and list the known ones."""
        if not isinstance(data, Mapping):
            return data
        for name in data:
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise BadParameter(f"There is no query parameter {name!r} here; known: {known}.", str(name))
        return {name: value for name, value in data.items() if value not in ("", None)}


class DetectQuery(_Query):
    """Parameters of `/detect`, `/landmarks` and `/embed`. `model` names a model of the route's own task."""

    model: Model = None
    min_face_size: float = Field(
        _OPTIONS.min_face_size,
        ge=6,
        allow_inf_nan=False,
        description="side of the smallest face to search for, in pixels. Larger values are faster; values "
        "under 12 search an enlarged picture. Ignored if `boxes` is given",
    )
    threshold: float | None = Field(
        _OPTIONS.threshold,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="minimum score of a face; the model's own if empty. Ignored if `boxes` is given",
    )
    max_faces: int | None = Field(
        _OPTIONS.max_faces,
        ge=1,
        description="return only so many faces, those with the highest scores. Ignored if `boxes` is given",
    )

    def options(self, limit: int) -> DetectOptions:
        """Return options for the detector. Raises BadParameter if `max_faces` exceeds `limit`."""
        if self.max_faces is not None and self.max_faces > limit:
            raise BadParameter(
                f"The value max_faces={self.max_faces} exceeds the limit of {limit}.", "max_faces"
            )
        return DetectOptions(self.min_face_size, self.threshold, self.max_faces or limit)


class VerifyQuery(_Query):
    """Parameters of `/verify`."""

    model: Model = None
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="minimum similarity for the same person; the calibrated one if empty",
    )
    far: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="false accept rate whose calibrated threshold is used, within the model's calibrated "
        "range (1e-4 to 1e-1). Excludes `threshold`",
    )
