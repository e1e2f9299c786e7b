"""The cascade's runs as served: the spec of each stage with its settings, and its net in served form."""

import json
from pathlib import Path

import keras
from pydantic import BaseModel

from app.vision.spec import ModelSpec, ONetSpec, PNetSpec, RNetSpec
from training.cascade_config import Stage, StageConfig, build_trained, config_of
from training.config import RUN_FILE
from training.export import export, serving_net
from training.models.cascade import serve
from training.models.yunet import STRIDES

NAME = "cascade"
SOURCES = {"wider": "WIDER FACE", "mtfl5": "MTFL", "300w": "300-W"}
YUNET: dict[str, object] = {"cell": 12, "window": 96, "strides": STRIDES, "best_cell": 22}
"""Settings that go with YuNet's weights."""

SETTINGS: dict[Stage, dict[str, object]] = {
    "pnet": {"factor": 0.36, "threshold": 0.15, "nms": 0.4, "vote": 0.7, "max_candidates": 150},
    "rnet": {"threshold": 0.15, "nms": 0.5, "max_candidates": 150, "box_blend": 0.0},
    "onet": {
        "crop": 0.91,
        "threshold": 0.85,
        "nms": 0.4,
        "nms_metric": "iou",
        "score_weights": {"proposal": 10.0, "rnet": 1.0},
        "score_calibration": {"bias": -1.6, "knee": 0.18, "slope": 2.36},
        "box_blend": 0.3,
    },
}
"""What surrounds the nets, chosen on WIDER's validation part: docs/decisions/0022-yunet-for-p-net.md."""

TRAINED: dict[Stage, dict[str, object]] = {
    "pnet": {"factor": 0.709, "threshold": 0.5, "nms_per_scale": 0.5, "nms": 0.7, "max_candidates": 400},
    "rnet": {"threshold": 0.1, "nms": 0.7, "max_candidates": 100},
    "onet": {"threshold": 0.8, "nms": 0.45, "nms_metric": "iou"},
}
"""What surrounds a run's net, until the study of settings finds better: docs/decisions/0021-cascade.md."""

TOLERANCE = 2e-3
"""Most that ONNX, with its weights in half precision, may differ from Keras."""

_SPECS: dict[Stage, type[BaseModel]] = {"pnet": PNetSpec, "rnet": RNetSpec, "onet": ONetSpec}


def spec_of(run: Path, name: str = NAME) -> ModelSpec:
    """The spec of a run's net."""
    config = config_of(run)
    data = json.loads((run / RUN_FILE).read_text())["data"]
    trained_on = " and ".join(SOURCES[source] for source in data["sources"])
    common: dict[str, object] = {
        "model": name,
        "licence": "LicenseRef-research-only",
        "research_only": True,
        "source": f"trained here on {trained_on}: training/configs/{config.name}.py",
        "source_sha256": data["sha256"],
    }
    return _SPECS[config.stage].model_validate(common | _shape(config) | TRAINED[config.stage])  # type: ignore[return-value] # one of the three


def _shape(config: StageConfig) -> dict[str, object]:
    if config.stage == "pnet":
        return {"cell": config.face, "window": config.size}
    return {"size": config.size, "crop": config.crop}


def served(run: Path) -> keras.Model:
    """A run's net in served form: RGB 0..255 in, outputs by name."""
    return serve(build_trained(run))


def export_run(run: Path, folder: Path) -> Path:
    """Writes a run's ONNX file into a folder; answers its path."""
    path = folder / f"{run.name}.onnx"
    export(serving_net(served(run)), spec_of(run), path, folder / f"{run.name}.npz", tolerance=TOLERANCE)
    return path
