"""The products of the model folder, in the order of its manifest, and the default of each task."""

from pathlib import Path

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.spec import Task
from training.exporting import published
from training.exporting.calibration import read_calibration
from training.exporting.recipes import Product, Recipe

DEFAULTS: dict[Task, str] = {"detect": "cascade", "landmarks": "mesh68", "embed": "fused"}

TRAINED_LANDMARKS = ("landmarks68", "landmarks15", "cnn68", "cnn15", "mobilenet15")
TRAINED_EMBEDDERS = ("centerloss", "triplet", "siamese")
"""Nets that are trained here, each from the run of its name."""


def products(models: Path) -> list[Product]:
    """Return all products of the folder `models`, in the order of its manifest.

    The files of trained nets stay as they are: `training.export` writes them. A trained net whose file is
    missing is left out.
    """
    calibration = read_calibration(models)
    detector, embedder = DEFAULTS["detect"], DEFAULTS["embed"]
    return [
        published.cascade_detector(detector),
        published.mtcnn_detector("mtcnn", published.MTCNN, detector),
        published.mtcnn_detector("mtcnn_thorough", published.MTCNN_THOROUGH, detector),
        *(published.mesh_landmarks(name, DEFAULTS["landmarks"]) for name in published.MESHES),
        *(p for name in TRAINED_LANDMARKS for p in _existing(name, "landmarks", [f"{name}.onnx"], models)),
        published.sface_embedder(calibration, embedder),
        published.dlib_embedder(calibration, embedder),
        published.fused_embedder(calibration, embedder),
        *(p for name in TRAINED_EMBEDDERS for p in _existing(name, "embed", _files(name), models)),
    ]


def _files(name: str) -> list[str]:
    return [f"{name}.onnx", *([f"{name}-head.onnx"] if name == "siamese" else [])]


def _existing(name: str, task: Task, files: list[str], models: Path) -> list[Product]:
    if not all((models / file).exists() for file in files):
        return []
    how = (
        f"`python -m training.train {name}` trains it and `python -m training.export runs/{name}` exports it"
    )
    recipes = (Recipe(f, OrtSession(models / f, Device("cpu")).spec, None, how=how) for f in files)
    return [Product(name, task, name == DEFAULTS[task], tuple(recipes))]
