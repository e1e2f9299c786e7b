"""Query parameters: their types, ranges and defaults. The command line checks its options by them too."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import BadParameter
from app.pipeline.detector import DetectOptions

_OPTIONS = DetectOptions()

Model = Annotated[str | None, Field(description="as `/models` lists it; the default one if empty")]


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Empty parameters take their defaults; unknown ones are named, with those that are known."""
        if not isinstance(data, Mapping):
            return data
        for name in data:
            if name not in cls.model_fields:
                known = ", ".join(cls.model_fields)
                raise BadParameter(f"There is no query parameter {name!r} here; known: {known}.", str(name))
        return {name: value for name, value in data.items() if value not in ("", None)}


class DetectQuery(_Query):
    """What `/detect`, `/landmarks` and `/embed` take; `model` is the one that does the address's own task."""

    model: Model = None
    min_face_size: float = Field(
        _OPTIONS.min_face_size,
        ge=6,
        allow_inf_nan=False,
        description="side of the smallest face to look for, in pixels; larger is faster, and under 12 an "
        "enlarged picture is searched; without effect where `boxes` is given",
    )
    threshold: float | None = Field(
        _OPTIONS.threshold,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="lowest score of a face; the model's own if empty; without effect where `boxes` is given",
    )
    max_faces: int | None = Field(
        _OPTIONS.max_faces,
        ge=1,
        description="keep only so many faces, those of the highest scores; without effect where `boxes` is "
        "given",
    )

    def options(self, most: int) -> DetectOptions:
        """Options for the detector. Raises BadParameter when more than `most` faces are asked for."""
        if self.max_faces is not None and self.max_faces > most:
            raise BadParameter(f"max_faces={self.max_faces} is over the limit of {most}.", "max_faces")
        return DetectOptions(self.min_face_size, self.threshold, self.max_faces or most)


class VerifyQuery(_Query):
    """What `/verify` takes."""

    model: Model = None
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="similarity from which two faces are of one person; calibrated if empty",
    )
    far: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="false accept rate to take the calibrated threshold for, within the range the model is "
        "calibrated for (1e-4 to 1e-1); not with `threshold`",
    )
