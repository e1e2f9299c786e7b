"""What the service reports about its models and versions."""

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
from app.runtime.model_store import FileEntry, LoadedModel
from app.vision.align import Template
from app.vision.points import Scheme
from app.vision.spec import (
    AnchorFreeSpec,
    Calibration,
    ComparedSpec,
    EmbedderSpec,
    LandmarkSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
    Task,
)


class Input(BaseModel):
    """Input of a model's nets."""

    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    colour: Literal["RGB"] = "RGB"
    size: int | None = Field(
        None,
        description="side of the square crop in pixels; null for whole pictures, and for a model of `parts`",
    )
    template: Template | None = Field(None, description="positions of the five points in the crop")


class StageThreshold(BaseModel):
    """Minimum score of a detector's stage; that of the last stage is the default of `threshold`."""

    stage: str
    threshold: float


class ModelInfo(BaseModel):
    """A loaded model."""

    name: str = Field(examples=["sface"])
    task: Task
    default: bool = Field(description="whether it is used when a request names no model")
    sha256: str = Field(
        description="sha256 of the model's file; for several files, of their hexadecimal sha256s joined in "
        "the order of `files`"
    )
    files: list[FileEntry]
    licence: str = Field(examples=["Apache-2.0"])
    research_only: bool = Field(description="whether the terms of a training set forbid commercial use")
    source: str
    source_sha256: str
    input: Input
    provider: str = Field(description="ONNX Runtime's provider in use", examples=["CPUExecutionProvider"])
    thresholds: list[StageThreshold | Calibration]
    scheme: Scheme | None = Field(None, description="landmark models: which points, in which order")
    dimension: int | None = Field(None, description="embedders: length of a vector")
    metric: Literal["cosine", "probability"] | None = Field(
        None, description="embedders: unit of a similarity"
    )
    default_far: float | None = Field(
        None, description="embedders: false accept rate of the default threshold"
    )
    calibrated_on: str | None = Field(None, description="embedders: pairs used to calibrate the thresholds")
    probability: Probability | None = Field(
        None, description="embedders: curve from a similarity to the probability that `/verify` answers"
    )
    parts: list[str] = Field([], description="the models it combines, in order; usually none")

    @classmethod
    def of(cls, model: LoadedModel, analyzer: Analyzer) -> Self:
        """Describe a model of the analyzer."""
        entry = model.entry
        sessions = list(model.sessions.values())
        specs = [session.spec for session in sessions]
        last = next((spec for spec in specs if isinstance(spec, ComparedSpec)), specs[-1])
        info = cls(
            name=entry.name,
            task=entry.task,
            default=entry.name == analyzer.defaults.get(entry.task),
            sha256=_combined_sha256([file.sha256 for file in entry.files]),
            files=list(entry.files),
            licence=" AND ".join(dict.fromkeys(spec.licence for spec in specs)),
            research_only=any(spec.research_only for spec in specs),
            source="; ".join(dict.fromkeys(spec.source for spec in specs)),
            source_sha256=last.source_sha256,
            input=Input(),
            provider=sessions[-1].provider,
            thresholds=[],
            parts=list(entry.parts),
        )
        if isinstance(last, LandmarkSpec):
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

    models: list[ModelInfo]

    @classmethod
    def of(cls, analyzer: Analyzer) -> Self:
        """Describe the models of the analyzer."""
        return cls(models=[ModelInfo.of(model, analyzer) for model in analyzer.models])


class VersionResponse(BaseModel):
    """Versions of the service and its runtime."""

    version: str = Field(examples=["0.1.0"])
    onnxruntime: str = Field(examples=["1.31.1"])
    python: str = Field(examples=["3.11.7"])

    @classmethod
    def current(cls) -> Self:
        """Return the versions in use."""
        return cls(version=version(), onnxruntime=runtime_version(), python=platform.python_version())


@cache
def version() -> str:
    """Return the version of the installed package, or of the checkout that the service runs from."""
    try:
        return metadata.version("facet")
    except metadata.PackageNotFoundError:
        project = Path(__file__).parent.parent.parent / "pyproject.toml"
        if not project.exists():
            return "unknown"
        return str(tomllib.loads(project.read_text())["project"]["version"])


def _combined_sha256(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
