"""The product of a training run, or of the three runs of a cascade: its files and specs."""

import errno
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from app.vision.spec import (
    EmbedderSpec,
    HeadSpec,
    LandmarkSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    RNetSpec,
    SimilarityCalibration,
)
from training.config.registry import BEST_WEIGHTS, RUN_FILE, RunError, build_trained, config_of
from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, Stage, StageConfig
from training.engine import embedding_objectives
from training.exporting.published import StageSettings, calibrated
from training.exporting.recipes import RESEARCH_ONLY, Product, Recipe
from training.models.cascade import serve
from training.models.serving import serving_form

DATASETS = {
    "300w": "300-W (HELEN, AFW, LFPW training parts)",
    "kaggle15": "Kaggle's Facial Keypoints format, its rows made from 300-W's training parts",
}
"""Datasets of landmarks as a spec's `source` names them."""

CASCADE_DATASETS = {"wider": "WIDER FACE", "mtfl5": "MTFL", "300w": "300-W"}
"""Datasets of the cascade as a spec's `source` names them."""

STAGE_SETTINGS: StageSettings = {
    "pnet": {"factor": 0.709, "threshold": 0.004, "nms_per_scale": 0.5, "nms": 0.7, "max_candidates": 400},
    "rnet": {"threshold": 0.1, "nms": 0.7, "max_candidates": 100},
    "onet": {"threshold": 0.8, "nms": 0.45, "nms_metric": "iou"},
}
"""Settings of a trained stage before the study of settings: docs/decisions/0021-cascade.md."""

STAGE_TOLERANCE = 2e-3
"""Maximum difference between ONNX and Keras of a stage of the cascade."""

_STAGE_SPECS: dict[Stage, type[PNetSpec | RNetSpec | ONetSpec]] = {
    "pnet": PNetSpec,
    "rnet": RNetSpec,
    "onet": ONetSpec,
}


def product_of(
    runs: Sequence[Path], name: str | None, calibration: dict[str, SimilarityCalibration]
) -> Product:
    """Return the product of a landmark or embedding run, or of the three runs of a cascade.

    Args:
        runs: one run folder, or those of P-, R- and O-Net in any order.
        name: name of the product; None takes that of a single run.
        calibration: thresholds of embedders by name.

    Raises:
        RunError: the runs are no such set, or a cascade has no name.
        FileNotFoundError: a folder holds no run, or no weights.
    """
    configs = [config_of(run, RunConfig) for run in runs]
    for run in runs:
        if not (run / BEST_WEIGHTS).exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(run / BEST_WEIGHTS))
    match configs:
        case [LandmarkConfig() as config]:
            return Product(
                name or config.name, "landmarks", False, (_landmarks(runs[0], name or config.name),)
            )
        case [EmbeddingConfig() as config]:
            known = calibrated(calibration, name or config.name)
            recipes = embedder_recipes(runs[0], name or config.name, known)
            return Product(name or config.name, "embed", False, tuple(recipes))
    stages = {
        config.stage: run
        for config, run in zip(configs, runs, strict=True)
        if isinstance(config, StageConfig)
    }
    if len(runs) != len(_STAGE_SPECS) or set(stages) != set(_STAGE_SPECS):
        raise RunError("Give one run of a landmark or embedding net, or one run each of P-, R- and O-Net.")
    if name is None:
        raise RunError("A cascade of three runs needs --name.")
    return Product(name, "detect", False, tuple(stage_recipe(stages[stage], name) for stage in _STAGE_SPECS))


def _landmarks(run: Path, name: str) -> Recipe:
    config, data = config_of(run, LandmarkConfig), _data_of(run)
    sources = " and ".join(DATASETS[source] for source in data["sources"])
    spec = LandmarkSpec.model_validate(
        _about(name, f"{sources}{_start(config)}", config, data)
        | {
            "size": config.size,
            "template": config.template,
            "scheme": config.scheme,
            "flip_average": config.flip_average,
        }
    )

    def build(cache: Path) -> keras.Model:
        net = serving_form(build_trained(run))
        return keras.Model(net.input, {"points": net.output})

    return Recipe(f"{name}.onnx", spec, build, half=True, tolerance=2e-3)


def embedder_recipes(run: Path, name: str, calibration: dict[str, object]) -> list[Recipe]:
    """Return the files of an embedding run: the net, and the head of a Siamese network.

    Args:
        run: the run's folder.
        name: name of the product.
        calibration: the spec's fields of the calibration, if there is one.
    """
    config, data = config_of(run, EmbeddingConfig), _data_of(run)
    siamese = config.objective == "siamese"
    sources = f"faces of {' and '.join(data['sources'])}"
    about = _about(name, f"{sources}{_start(config)}", config, data) | {"dimension": config.dimension}
    spec = EmbedderSpec.model_validate(
        about
        | {
            "size": config.size,
            "template": config.template,
            "flip_average": not siamese,
            "metric": "probability" if siamese else "cosine",
        }
        | calibration
    )

    def build(cache: Path) -> keras.Model:
        net = embedding_objectives.build_trained(run).embed
        return keras.Model(net.input, {"embedding": net.output} | ({"branch": net.output} if siamese else {}))

    def build_head(cache: Path) -> keras.Model:
        head = embedding_objectives.build_trained(run).head
        assert head is not None
        return keras.Model(head.input, {"probability": keras.ops.sigmoid(head.output)})

    recipes = [Recipe(f"{name}.onnx", spec, build, unit_length="embedding", half=True, tolerance=2e-3)]
    if siamese:
        recipes.append(
            Recipe(f"{name}-head.onnx", HeadSpec.model_validate(about), build_head, tolerance=2e-5)
        )
    return recipes


def stage_recipe(run: Path, name: str) -> Recipe:
    """Return the file of a run of one stage of the cascade, as a part of the product `name`."""
    config = config_of(run, StageConfig)
    return Recipe(
        f"{name}-{config.stage}.onnx",
        stage_spec(run, name),
        lambda cache: serve(build_trained(run)),
        tolerance=STAGE_TOLERANCE,
    )


def stage_spec(run: Path, name: str) -> ModelSpec:
    """Return the spec of a run of one stage of the cascade, as a part of the product `name`."""
    config, data = config_of(run, StageConfig), _data_of(run)
    sources = " and ".join(CASCADE_DATASETS[source] for source in data["sources"])
    shape: dict[str, object] = {"size": config.size, "crop": config.crop_scale}
    if config.stage == "pnet":
        shape = {"cell": config.face_size, "window": config.size}
    about = _about(name, sources, config, data)
    return _STAGE_SPECS[config.stage].model_validate(about | shape | STAGE_SETTINGS[config.stage])


def _about(name: str, sources: str, config: RunConfig, data: Mapping[str, object]) -> dict[str, object]:
    return {
        "model": name,
        "licence": RESEARCH_ONLY,
        "research_only": True,
        "source": f"trained here on {sources}: training/configs/{config.name}.py",
        "source_sha256": data["sha256"],
    }


def _start(config: RunConfig) -> str:
    if config.start_from == "imported":
        return ", from published weights"
    return f", from the weights of {config.start_from}" if config.start_from else ""


def _data_of(run: Path) -> dict[str, list[str]]:
    data: dict[str, list[str]] = json.loads((run / RUN_FILE).read_text())["data"]
    return data
