"""The calibration file: `facet calibrate` writes it, and FACE_CALIBRATION names it.

It is valid for the weights it was made with, and no others.
"""

import itertools
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import BadModel
from app.runtime.manifest import Manifest
from app.service.file_writing import replace
from app.vision.spec import Calibration, Probability, SimilarityCalibration

_MAX_BYTES = 1 << 20

_HINT = "Unset FACE_CALIBRATION, and make the file again with `facet calibrate`"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeasuredCalibration(Calibration):
    """A threshold with the 95% intervals of its rates, by bootstrap over people."""

    far_interval: tuple[float, float] = Field(description="Interval of the false accept rate.")
    tar_interval: tuple[float, float] = Field(description="Interval of the true accept rate.")


class EmbedderCalibration(_Frozen):
    """The calibration of one embedder."""

    detector: str = Field(description="The detector that found the faces.")
    weights: dict[str, str] = Field(min_length=1, description="SHA-256 of each ONNX file by file name.")
    people: int = Field(gt=0, description="Number of people.")
    images: int = Field(gt=0, description="Number of images with a face.")
    genuine_pairs: int = Field(gt=0, description="Number of genuine pairs.")
    impostor_pairs: int = Field(gt=0, description="Number of impostor pairs.")
    default_far: float = Field(description="False accept rate of the default threshold.")
    thresholds: tuple[MeasuredCalibration, ...] = Field(min_length=1, description="Descending rates.")
    probability: Probability | None = Field(description="Curve from similarity to probability.")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for a, b in itertools.pairwise(self.thresholds):
            if not (a.far > b.far and a.threshold <= b.threshold):
                raise ValueError("The rates must descend, and the thresholds must not")
        if self.default_far not in {c.far for c in self.thresholds}:
            raise ValueError("default_far must be one of the rates")
        return self


class CalibrationFile(_Frozen):
    """The content of a calibration file."""

    version: Literal[1] = Field(description="Version of the format.")
    created: AwareDatetime = Field(description="When the file was made.")
    embedders: Annotated[dict[str, EmbedderCalibration], Field(min_length=1)] = Field(
        description="The calibrations by embedder."
    )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the content of a calibration file.

        Args:
            path: the file.

        Raises:
            ValueError: the file cannot be read, or is not a calibration file.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(f"The file cannot be read: {os.strerror(error.errno or 0)}") from None
        if len(content) > _MAX_BYTES:
            raise ValueError(f"The file has more than {_MAX_BYTES} bytes")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            message = fault["msg"].removeprefix("Value error, ")
            raise ValueError(
                f"The file is not a valid calibration file ({f'{where}: ' if where else ''}{message})"
            ) from None

    def write(self, path: Path) -> None:
        """Write the file, completely or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        replace(path, f"{self.model_dump_json(indent=2)}\n".encode())

    def calibrations(
        self, manifest: Manifest, detector: str, loaded: Collection[str] | None
    ) -> dict[str, SimilarityCalibration]:
        """Return the calibrations by embedder, after a check that they fit the models.

        Args:
            manifest: the manifest of the model folder.
            detector: the default detector.
            loaded: names of the models that are loaded, each of which must be among them; None skips this
                check, for a command that loads only the models it needs.

        Raises:
            BadModel: an embedder is unknown or not loaded, or the file was made with other weights or with
                another detector.
        """
        hashes = {file.file: file.sha256 for entry in manifest.models for file in entry.files}
        embedders = {entry.name: entry for entry in manifest.models if entry.task == "embed"}
        for name, calibration in self.embedders.items():
            if name not in embedders:
                raise BadModel(
                    f"The file of FACE_CALIBRATION calibrates {name!r}, which is not an embedder of the "
                    f"model folder. {_HINT}."
                )
            if loaded is not None and name not in loaded:
                raise BadModel(
                    f"The file of FACE_CALIBRATION calibrates {name}, which is not loaded. Add it to "
                    "FACE_MODELS, or unset FACE_CALIBRATION."
                )
            if calibration.detector != detector:
                raise BadModel(
                    f"The file of FACE_CALIBRATION calibrates {name} with the detector "
                    f"{calibration.detector}, but the default detector is {detector}. {_HINT}."
                )
            used = {detector, name, *embedders[name].needs}
            files = [file.file for entry in manifest.models if entry.name in used for file in entry.files]
            for file in dict.fromkeys([*files, *calibration.weights]):
                if hashes.get(file) != calibration.weights.get(file):
                    raise BadModel(
                        f"The file of FACE_CALIBRATION calibrates {name} with another {file} than that of "
                        f"the model folder. {_HINT}."
                    )
        return {name: self._spec(calibration) for name, calibration in self.embedders.items()}

    def _spec(self, calibration: EmbedderCalibration) -> SimilarityCalibration:
        return SimilarityCalibration(
            calibrated_on=f"the operator's images (FACE_CALIBRATION, {self.created:%Y-%m-%d}): "
            f"{calibration.people} people, {calibration.images} images, {calibration.genuine_pairs} genuine "
            f"and {calibration.impostor_pairs} impostor pairs",
            thresholds=tuple(
                Calibration(far=c.far, threshold=c.threshold, tar=c.tar) for c in calibration.thresholds
            ),
            default_far=calibration.default_far,
            probability=calibration.probability,
        )
