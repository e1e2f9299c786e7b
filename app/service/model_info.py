"""Responses of `/models` and `/version`: information on the loaded models, and versions."""

import hashlib
import platform
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field

from app.pipeline.analyzer import Analyzer
from app.runtime.device import runtime_version
from app.runtime.manifest import FileEntry
from app.runtime.model_store import LoadedModel
from app.runtime.precision import Precision
from app.vision.align import Template
from app.vision.points import Scheme
from app.vision.spec import (
    AnchorFreeSpec,
    Calibration,
    ComparedSpec,
    EmbedderSpec,
    LandmarkSpec,
    MeshSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
    Task,
)

Weights = Literal["all", "free"]
"""Which weights the service may use."""

_WEIGHTS = Field(
    description="Which weights the service may use: `all`, or `free`, which excludes models that are for "
    "research only or have no licence."
)


class Input(BaseModel):
    """Input of the nets of a model."""

    dtype: Literal["uint8"] = Field("uint8", description="Type of a sample.")
    layout: Literal["NHWC"] = Field("NHWC", description="Order of the axes: batch, rows, columns, channels.")
    colour: Literal["RGB"] = Field("RGB", description="Order of the colour channels.")
    size: int | None = Field(
        None,
        description="Side of the square crop in pixels. Null for a detector, which reads whole images, and "
        "for a model with `parts`.",
    )
    template: Template | None = Field(
        None, description="Name of the template: the positions of the five points in an aligned crop."
    )


class StageThreshold(BaseModel):
    """Minimum score in one stage of a detector."""

    stage: str = Field(description="Stage of the detector.", examples=["onet"])
    threshold: float = Field(
        description="Minimum score, 0 to 1. In the last stage it is the default of the parameter `threshold`."
    )


class ModelInfo(BaseModel):
    """A loaded model."""

    name: str = Field(
        description="Name of the model, a valid value of the parameter `model`.", examples=["sface"]
    )
    task: Task = Field(description="What the model does.")
    default: bool = Field(description="Whether the model is used if a request names no model.")
    sha256: str = Field(
        description="SHA-256 of the float file of the model, also if it runs in int8. For several files: "
        "SHA-256 of their hexadecimal SHA-256 values, joined in the order of `files`."
    )
    files: list[FileEntry] = Field(description="The ONNX files that are open.")
    licence: str = Field(
        description="Licence of the weights: an SPDX expression, LicenseRef-research-only, or "
        "LicenseRef-unspecified if nobody has named one.",
        examples=["Apache-2.0"],
    )
    research_only: bool = Field(description="Whether the terms of a training set forbid commercial use.")
    source: str = Field(description="Origin of the weights.")
    source_sha256: str = Field(description="SHA-256 of the published weights, or of the training data.")
    input: Input = Field(description="Input of the nets of the model.")
    provider: str = Field(
        description="Execution provider of ONNX Runtime that runs the model.",
        examples=["CPUExecutionProvider"],
    )
    precision: Precision = Field(
        description="Precision in which the model runs: `int8` if one of its files or parts is int8, else "
        "`float`. Embeddings of both precisions of a model can be compared."
    )
    thresholds: list[StageThreshold | Calibration] = Field(
        description="Detectors: the minimum score of each stage. Embedders: the calibrated similarity "
        "thresholds, each with its false accept rate. Empty for landmark models."
    )
    scheme: Scheme | None = Field(
        None, description="Landmark models: the points and their order. Null for other models."
    )
    dimension: int | None = Field(
        None, description="Embedders: length of an embedding. Null for other models."
    )
    metric: Literal["cosine", "probability"] | None = Field(
        None, description="Embedders: kind of the similarity. Null for other models."
    )
    default_far: float | None = Field(
        None, description="Embedders: false accept rate of the default threshold. Null for other models."
    )
    calibrated_on: str | None = Field(
        None,
        description="Embedders: the pairs that the thresholds were calibrated on. Null for other models.",
    )
    probability: Probability | None = Field(
        None,
        description="Embedders: curve from the similarity to the field `probability` of `/verify`. Null if "
        "the similarity is a probability, if the model is not calibrated, and for other models.",
    )
    parts: list[str] = Field(
        [], description="Names of the models that this model combines, in order. Empty for most models."
    )

    @classmethod
    def of(cls, model: LoadedModel, analyzer: Analyzer) -> Self:
        """Return the information on a model that the analyzer owns."""
        entry = model.entry
        sessions = list(model.sessions.values())
        specs = [session.spec for session in sessions]
        last = next((spec for spec in specs if isinstance(spec, ComparedSpec)), specs[-1])
        info = cls(
            name=entry.name,
            task=entry.task,
            default=entry.name == analyzer.defaults.get(entry.task),
            sha256=_combined_sha256([file.sha256 for file in entry.files]),
            files=list(model.files),
            licence=" AND ".join(dict.fromkeys(spec.licence for spec in specs)),
            research_only=any(spec.research_only for spec in specs),
            source="; ".join(dict.fromkeys(spec.source for spec in specs)),
            source_sha256=last.source_sha256,
            input=Input(),
            provider=sessions[-1].provider,
            precision=analyzer.precision(model),
            thresholds=[],
            parts=list(entry.parts),
        )
        if isinstance(last, LandmarkSpec | MeshSpec):
            info.input = Input(size=last.size, template=last.template)
            info.scheme = last.scheme
        elif isinstance(last, ComparedSpec):
            if isinstance(last, EmbedderSpec):
                info.input = Input(size=last.size, template=last.template)
            info.thresholds = list(last.thresholds)
            info.probability = last.probability
            info.dimension, info.metric = last.dimension, last.metric
            info.default_far, info.calibrated_on = last.default_far, last.calibrated_on
        else:
            info.thresholds = [
                StageThreshold(stage=stage, threshold=session.spec.threshold)
                for stage, session in model.sessions.items()
                if isinstance(session.spec, PNetSpec | AnchorFreeSpec | RNetSpec | ONetSpec)
            ]
        return info


class ModelsResponse(BaseModel):
    """All loaded models."""

    models: list[ModelInfo] = Field(description="The loaded models, in the order of the manifest.")
    weights: Weights = _WEIGHTS

    @classmethod
    def of(cls, analyzer: Analyzer, weights: Weights) -> Self:
        """Return the information on all models that the analyzer owns."""
        return cls(models=[ModelInfo.of(model, analyzer) for model in analyzer.models], weights=weights)


class VersionResponse(BaseModel):
    """Versions of the service and of its runtime."""

    version: str = Field(description="Version of Facet.", examples=["0.1.0"])
    onnxruntime: str = Field(description="Version of ONNX Runtime.", examples=["1.31.1"])
    python: str = Field(description="Version of Python.", examples=["3.11.7"])
    weights: Weights = _WEIGHTS

    @classmethod
    def current(cls, weights: Weights) -> Self:
        """Return the versions that this process runs, and which weights it may use."""
        return cls(
            version=version(),
            onnxruntime=runtime_version(),
            python=platform.python_version(),
            weights=weights,
        )


@cache
def version() -> str:
    """Return the version of the installed package, else that of the checkout, else `unknown`."""
    try:
        return metadata.version("facet")
    except metadata.PackageNotFoundError:
        project = Path(__file__).parent.parent.parent / "pyproject.toml"
        if not project.exists():
            return "unknown"
        return str(tomllib.loads(project.read_text())["project"]["version"])


def _combined_sha256(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
