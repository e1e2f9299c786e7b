"""Answers about the service: models, versions, health and problem types."""

from __future__ import annotations

from pydantic import Field

from facet_client.models.base import Answer


class FileEntry(Answer):
    """An ONNX file."""

    file: str = Field(description="Name of the file in the model folder.")
    bytes: int = Field(description="Size of the file in bytes.")
    sha256: str = Field(description="SHA-256 of the file.")
    graph: str | None = Field(None, description="SHA-256 of the net without the metadata of the file.")


class Input(Answer):
    """Input of the nets of a model."""

    dtype: str = Field("uint8", description="Type of a sample.")
    layout: str = Field("NHWC", description="Order of the axes.")
    colour: str = Field("RGB", description="Order of the colour channels.")
    size: int | None = Field(None, description="Side of the square crop in pixels, if the model has one.")
    template: str | None = Field(
        None, description="Name of the positions of the five points in an aligned crop."
    )


class StageThreshold(Answer):
    """Minimum score in one stage of a detector."""

    stage: str = Field(description="Stage of the detector.")
    threshold: float = Field(description="Minimum score, 0 to 1.")


class Calibration(Answer):
    """A similarity threshold that is calibrated for a false accept rate (FAR)."""

    far: float = Field(description="False accept rate.")
    threshold: float = Field(description="Minimum similarity for the same person.")
    tar: float = Field(description="True accept rate (TAR) that was measured at the threshold.")


class Probability(Answer):
    """Logistic curve: P(same person) = sigmoid(slope * similarity + offset), assuming a 50% prior."""

    slope: float = Field(description="Slope of the curve.")
    offset: float = Field(description="Offset of the curve.")


class ModelInfo(Answer):
    """A loaded model."""

    name: str = Field(description="Name of the model, a valid value of the parameter `model`.")
    task: str = Field(description="What the model does: `detect`, `landmarks` or `embed`.")
    default: bool = Field(description="Whether the model is used if a request names no model.")
    sha256: str = Field(description="SHA-256 of the float file or files of the model.")
    files: list[FileEntry] = Field(default_factory=list, description="The ONNX files that are open.")
    licence: str = Field(description="Licence of the weights.")
    research_only: bool = Field(description="Whether the terms of a training set forbid commercial use.")
    source: str = Field(description="Origin of the weights.")
    source_sha256: str = Field(description="SHA-256 of the published weights, or of the training data.")
    input: Input = Field(description="Input of the nets of the model.")
    provider: str = Field(description="Execution provider of ONNX Runtime that runs the model.")
    precision: str = Field("float", description="Precision in which the model runs: `int8` or `float`.")
    thresholds: list[StageThreshold | Calibration] = Field(
        default_factory=list,
        description="Detectors: the minimum score of each stage. Embedders: the calibrated thresholds.",
    )
    scheme: str | None = Field(None, description="Landmark models: the points and their order.")
    dimension: int | None = Field(None, description="Embedders: length of an embedding.")
    metric: str | None = Field(None, description="Embedders: kind of the similarity.")
    default_far: float | None = Field(
        None, description="Embedders: false accept rate of the default threshold."
    )
    calibrated_on: str | None = Field(
        None, description="Embedders: the pairs that the thresholds were calibrated on."
    )
    probability: Probability | None = Field(
        None, description="Embedders: curve from the similarity to a probability, if there is one."
    )
    parts: list[str] = Field(
        default_factory=list, description="Names of the models that this model combines."
    )


class ModelsResponse(Answer):
    """All loaded models."""

    models: list[ModelInfo] = Field(description="The loaded models.")
    weights: str = Field(
        description="Which weights the service may use: `all`, or `free` without those for research only."
    )


class VersionResponse(Answer):
    """Versions of the service and of its runtime."""

    version: str = Field(description="Version of Facet.")
    onnxruntime: str = Field(description="Version of ONNX Runtime.")
    python: str = Field(description="Version of Python.")
    weights: str = Field(description="Which weights the service may use: `all` or `free`.")


class Status(Answer):
    """The answer of a health check."""

    status: str = Field(
        description="`ok` if the process runs; `ready`, or `degraded` if a worker process or the gallery is "
        "missing."
    )
    gallery: str | None = Field(
        None, description="`unavailable` if the gallery cannot be read; None if it can, or is not in use."
    )


class ProblemType(Answer):
    """The meaning of a problem type."""

    type: str = Field(description="The type.")
    title: str = Field(description="Its title.")
    status: int = Field(description="Its HTTP status.")
    about: str = Field(description="Its meaning.")
