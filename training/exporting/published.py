"""The products made of published weights: detectors, embedders and their fusion."""

import hashlib
from functools import partial
from pathlib import Path
from types import ModuleType

import keras

from app.vision.points import Scheme
from app.vision.spec import (
    AnchorFreeSpec,
    EmbedderSpec,
    FusionSpec,
    MeshSpec,
    ONetSpec,
    PNetSpec,
    RNetSpec,
    SimilarityCalibration,
)
from training.config.schema import Stage
from training.exporting.recipes import Product, Recipe
from training.importers import dlib_resnet, face_mesh, mtcnn, sface, yunet
from training.models.fusion import fusion
from training.models.yunet import STRIDES

StageSettings = dict[Stage, dict[str, object]]

FUSED = {"sface": 0.3, "dlib": 0.7}
"""Parts of the fused embedder, and the squares of their weights."""

FUSED_QUALITY = {"bias": -5.94, "norm": 0.532, "presence": 0.0299, "steadiness": 0.253}
"""Coefficients of the quality of a face, fitted by `training.studies.face_quality`."""

ALIGNING_MESH = "mesh68"
"""The face mesh whose points align the mirrored crop."""

_EMBEDDING = 128  # dimension of an imported embedder

_MTCNN_STAGES: dict[Stage, tuple[type[PNetSpec | RNetSpec | ONetSpec], dict[str, object]]] = {
    "pnet": (PNetSpec, {"factor": 0.709, "nms_per_scale": 0.5, "nms": 0.7, "max_candidates": 1024}),
    "rnet": (RNetSpec, {"size": 24, "crop": 0.96, "nms": 0.7, "max_candidates": 512}),
    "onet": (ONetSpec, {"size": 48, "crop": 0.96, "nms": 0.5, "nms_metric": "iou"}),
}
"""MTCNN's stages with the settings that all its products share."""

MTCNN: StageSettings = {
    "pnet": {"threshold": 0.75},
    "rnet": {"threshold": 0.6},
    "onet": {"threshold": 0.85},
}
"""Settings of `mtcnn`: docs/decisions/0010-detector-settings.md."""

MTCNN_THOROUGH: StageSettings = {
    "pnet": {"threshold": 0.5},
    "rnet": {"threshold": 0.58},
    "onet": {"threshold": 0.95, "score_weights": {"proposal": 0.6, "rnet": 1.0}},
}
"""Settings of `mtcnn_thorough`, slower, with higher recall: docs/decisions/0020-scores-of-all-nets.md."""

YUNET: dict[str, object] = {"cell": 12, "window": 64, "strides": STRIDES, "best_cell": 21}
"""Settings that belong to YuNet's weights."""

CASCADE: StageSettings = {
    "pnet": {
        "factor": 0.32,
        "threshold": 0.12,
        "nms": 0.4,
        "vote": 0.7,
        "coarse_penalty": 1.5,
        "coarse_side": 32.0,
        "max_candidates": 150,
    },
    "rnet": {"threshold": 0.1, "nms": 0.5, "max_candidates": 150, "box_blend": 0.0},
    "onet": {
        "crop": 0.91,
        "threshold": 0.85,
        "nms": 0.5,
        "nms_metric": "iou",
        "score_weights": {"proposal": 10.0, "rnet": 1.0},
        "score_calibration": {"bias": -1.6, "knee": 0.15, "slope": 2.45},
        "box_blend": 0.3,
    },
}
"""Settings of `cascade`, chosen on WIDER FACE's validation part: docs/decisions/0022-yunet-for-p-net.md."""

CASCADE_TOLERANCE = 2e-3


def mtcnn_detector(name: str, settings: StageSettings, default: str) -> Product:
    """Return a detector with MTCNN's published weights and the given settings."""
    recipes = tuple(_mtcnn_stage(name, stage, settings[stage]) for stage in settings)
    return Product(name, "detect", name == default, recipes)


def cascade_detector(default: str) -> Product:
    """Return the detector `cascade`: YuNet in place of P-Net, MTCNN's R- and O-Net behind it."""
    name = "cascade"
    about: dict[str, object] = {
        "model": name,
        "licence": yunet.LICENCE,
        "research_only": False,
        "source": yunet.SOURCE,
        "source_sha256": yunet.SHA256,
    }
    spec = AnchorFreeSpec.model_validate(YUNET | about | CASCADE["pnet"])
    first = Recipe(f"{name}-pnet.onnx", spec, yunet.load, yunet.parity, tolerance=CASCADE_TOLERANCE)
    others = (_mtcnn_stage(name, stage, CASCADE[stage]) for stage in ("rnet", "onet"))
    return Product(name, "detect", name == default, (first, *others))


def _mtcnn_stage(name: str, stage: Stage, settings: dict[str, object]) -> Recipe:
    about: dict[str, object] = {
        "model": name,
        "licence": mtcnn.LICENCE,
        "research_only": False,
        "source": mtcnn.SOURCE,
        "source_sha256": mtcnn.SHA256[stage],
    }
    kind, shared = _MTCNN_STAGES[stage]
    spec = kind.model_validate(shared | about | settings)
    return Recipe(f"{name}-{stage}.onnx", spec, partial(mtcnn.load, stage), partial(mtcnn.parity, stage))


MESHES: dict[str, Scheme] = {"mesh": "mesh468", "mesh68": "ibug68"}
"""The products of the face mesh, and the points that they return."""


def mesh_landmarks(name: str, default: str) -> Product:
    """Return the face mesh, or iBUG's 68 points that are made of it."""
    spec = MeshSpec.model_validate(
        {
            "model": name,
            "licence": face_mesh.LICENCE,
            "research_only": False,
            "source": face_mesh.SOURCE,
            "source_sha256": face_mesh.SHA256,
            "size": face_mesh.INPUT_SIZE,
            "template": "mesh",
            "extent": 1.4,
            "scheme": MESHES[name],
        }
    )
    recipe = Recipe(f"{name}.onnx", spec, face_mesh.load_served, face_mesh.parity, tolerance=1e-4)
    return Product(name, "landmarks", name == default, (recipe,))


def sface_embedder(calibration: dict[str, SimilarityCalibration], default: str) -> Product:
    """Return the embedder `sface`."""
    return _embedder("sface", sface, {"template": "arcface", "flip_average": False}, calibration, default)


def dlib_embedder(calibration: dict[str, SimilarityCalibration], default: str) -> Product:
    """Return the embedder `dlib`."""
    how = {"template": "dlib", "flip_average": True, "mesh": ALIGNING_MESH}
    return _embedder("dlib", dlib_resnet, how, calibration, default)


def _embedder(
    name: str,
    importer: ModuleType,
    how: dict[str, object],
    calibration: dict[str, SimilarityCalibration],
    default: str,
) -> Product:
    spec = EmbedderSpec.model_validate(
        {
            "model": name,
            "licence": importer.LICENCE,
            "research_only": False,
            "source": importer.SOURCE,
            "source_sha256": importer.SHA256,
            "size": importer.INPUT_SIZE,
            "dimension": _EMBEDDING,
        }
        | how
        | calibrated(calibration, name)
    )

    def build(cache: Path) -> keras.Model:
        net = importer.load(cache)
        return keras.Model(net.input, {"embedding": net.output})

    recipe = Recipe(
        f"{name}.onnx",
        spec,
        build,
        importer.parity,
        unit_length="embedding",
        half=True,
        tolerance=2e-3,
        int8=True,
    )
    return Product(name, "embed", name == default, (recipe,), mesh=spec.mesh)


def fused_embedder(calibration: dict[str, SimilarityCalibration], default: str) -> Product:
    """Return the embedder `fused`: the weighted vectors of `sface` and `dlib`."""
    importers = {"sface": sface, "dlib": dlib_resnet}
    widths = [_EMBEDDING] * len(FUSED)
    hashes = "".join(importers[name].SHA256 for name in FUSED)
    spec = FusionSpec.model_validate(
        {
            "model": "fused",
            "licence": " AND ".join(importers[name].LICENCE for name in FUSED),
            "research_only": False,
            "source": f"{' and '.join(FUSED)}, their vectors weighed: training/models/fusion.py",
            "source_sha256": hashlib.sha256(hashes.encode()).hexdigest(),
            "dimension": sum(widths),
            "parts": tuple(FUSED),
            "flip_average": (True,) * len(FUSED),
            "mesh": ALIGNING_MESH,
            "quality": FUSED_QUALITY,
            "inputs": sum(widths),
        }
        | calibrated(calibration, "fused")
    )
    weights = [square**0.5 for square in FUSED.values()]
    recipe = Recipe("fused.onnx", spec, lambda cache: fusion(widths, weights), tolerance=1e-6)
    return Product("fused", "embed", default == "fused", (recipe,), tuple(FUSED), spec.mesh)


def calibrated(calibration: dict[str, SimilarityCalibration], name: str) -> dict[str, object]:
    """Return the spec's fields of the calibration of an embedder; an empty dict if it has none."""
    return calibration[name].model_dump() if name in calibration else {}
