"""The product of a training run, or of the three runs of a cascade: its files and specs."""

import errno
import json
from collections.abc import Sequence
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
    Task,
)
from training.config.origins import sources_of
from training.config.registry import BEST_WEIGHTS, RUN_FILE, RunError, build_trained, config_of, module_of
from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, Stage, StageConfig
from training.data.storage.data_hash import hash_files
from training.engine import embedding_objectives
from training.exporting.attribution import Attribution, in_words
from training.exporting.published import StageSettings
from training.exporting.recipes import Product, Recipe
from training.models.cascade import serve
from training.models.serving import serving_form

STAGE_SETTINGS: StageSettings = {
    "pnet": {"factor": 0.709, "threshold": 0.01, "nms_per_scale": 0.5, "nms": 0.7, "max_candidates": 300},
    "rnet": {"threshold": 0.05, "nms": 0.7, "max_candidates": 100},
    "onet": {
        "threshold": 0.85,
        "score_weights": {"proposal": 0.2, "rnet": 0.6},
        "nms": 0.5,
        "nms_metric": "iou",
    },
}
"""Settings of trained stages: those of `mtcnn_here`, docs/experiments/own-cascade.md."""

STAGE_TOLERANCE = 2e-3
"""Maximum difference between ONNX and Keras of a stage of the cascade."""

_STAGE_SPECS: dict[Stage, type[PNetSpec | RNetSpec | ONetSpec]] = {
    "pnet": PNetSpec,
    "rnet": RNetSpec,
    "onet": ONetSpec,
}


def product_of(
    runs: Sequence[Path], attribution: Attribution, calibration: SimilarityCalibration | None = None
) -> Product:
    """Return the product of a landmark or embedding run, or of the three runs of a cascade.

    Args:
        runs: one run folder, or those of P-, R- and O-Net in any order.
        attribution: name of the product, and what its specs say of the weights.
        calibration: thresholds of an embedder.

    Raises:
        RunError: the runs are no such set.
        FileNotFoundError: a folder holds no run, or no weights.
    """
    for run in runs:
        if not (run / BEST_WEIGHTS).exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(run / BEST_WEIGHTS))
    task = task_of(runs)
    if task == "landmarks":
        recipes = [_landmarks(runs[0], attribution)]
    elif task == "embed":
        recipes = embedder_recipes(runs[0], attribution, calibration)
    else:
        stages = {config_of(run, StageConfig).stage: run for run in runs}
        runs = [stages[stage] for stage in _STAGE_SPECS]
        recipes = [stage_recipe(run, attribution) for run in runs]
    weights = hash_files(run / BEST_WEIGHTS for run in runs)
    return Product(attribution.name, task, False, tuple(recipes), weights=weights)


def task_of(runs: Sequence[Path]) -> Task:
    """Return the task of the product of these runs.

    Raises:
        RunError: the runs make no product together.
        FileNotFoundError: a folder holds no run.
    """
    configs = [config_of(run, RunConfig) for run in runs]
    match configs:
        case [LandmarkConfig()]:
            return "landmarks"
        case [EmbeddingConfig()]:
            return "embed"
    stages = [config.stage for config in configs if isinstance(config, StageConfig)]
    if len(configs) != len(_STAGE_SPECS) or set(stages) != set(_STAGE_SPECS):
        raise RunError("Give one run of a landmark or embedding net, or one run each of P-, R- and O-Net.")
    return "detect"


def _landmarks(run: Path, attribution: Attribution) -> Recipe:
    config = config_of(run, LandmarkConfig)
    spec = LandmarkSpec.model_validate(
        _about(run, attribution, config)
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

    return Recipe(f"{attribution.name}.onnx", spec, build, half=True, tolerance=2e-3)


def embedder_recipes(
    run: Path, attribution: Attribution, calibration: SimilarityCalibration | None = None
) -> list[Recipe]:
    """Return the files of an embedding run: the net, and the head of a Siamese network.

    Args:
        run: the run's folder.
        attribution: name of the product, and what its specs say of the weights.
        calibration: the thresholds, if there are any.
    """
    config, name = config_of(run, EmbeddingConfig), attribution.name
    siamese = config.objective == "siamese"
    about = _about(run, attribution, config, "faces of ") | {"dimension": config.dimension}
    spec = EmbedderSpec.model_validate(
        about
        | {
            "size": config.size,
            "template": config.template,
            "flip_average": not siamese,
            "metric": "probability" if siamese else "cosine",
        }
        | (calibration.model_dump() if calibration else {})
    )

    def build(cache: Path) -> keras.Model:
        net = serving_form(embedding_objectives.build_trained(run).embed)
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


def stage_recipe(run: Path, attribution: Attribution) -> Recipe:
    """Return the file of a run of one stage of the cascade, as a part of a product."""
    config = config_of(run, StageConfig)
    return Recipe(
        f"{attribution.name}-{config.stage}.onnx",
        stage_spec(run, attribution),
        lambda cache: serve(build_trained(run)),
        tolerance=STAGE_TOLERANCE,
    )


def stage_spec(run: Path, attribution: Attribution) -> ModelSpec:
    """Return the spec of a run of one stage of the cascade, as a part of a product."""
    config = config_of(run, StageConfig)
    shape: dict[str, object] = {"size": config.size, "crop": config.crop_scale}
    if config.stage == "pnet":
        shape = {"cell": config.face_size, "window": config.size}
    about = _about(run, attribution, config)
    return _STAGE_SPECS[config.stage].model_validate(about | shape | STAGE_SETTINGS[config.stage])


def _about(run: Path, attribution: Attribution, config: RunConfig, of: str = "") -> dict[str, object]:
    data = json.loads((run / RUN_FILE).read_text())["data"]
    words = attribution.source or f"{of}{in_words(sources_of(data))}"
    return {
        "model": attribution.name,
        "licence": attribution.licence,
        "research_only": attribution.research_only,
        "source": f"trained here on {words}{_start(config)}: training/configs/{module_of(run)}.py",
        "source_sha256": data["sha256"],
    }


def _start(config: RunConfig) -> str:
    if config.start_from == "imported":
        return ", from published weights"
    return f", from the weights of {config.start_from}" if config.start_from else ""
