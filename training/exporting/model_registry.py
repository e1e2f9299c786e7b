"""The products of the model folder, in the order of its manifest, and the default of each task."""

from pathlib import Path

from app.runtime.device import Device
from app.runtime.manifest import MANIFEST, read_manifest
from app.runtime.session import OrtSession
from app.vision.spec import Task
from training.exporting import published
from training.exporting.calibration import read_calibration
from training.exporting.recipes import Product, Recipe

DEFAULTS: dict[Task, str] = {"detect": "cascade", "landmarks": "mesh68", "embed": "fused"}

TRAINED_DETECTORS = ("mtcnn_here",)
"""Detectors that are trained here, each from three runs: docs/experiments/own-cascade.md."""

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
        *(p for name in TRAINED_DETECTORS for p in _trained(name, models)),
        *(published.mesh_landmarks(name, DEFAULTS["landmarks"]) for name in published.MESHES),
        *(p for name in TRAINED_LANDMARKS for p in _trained(name, models)),
        published.sface_embedder(calibration, embedder),
        published.dlib_embedder(calibration, embedder),
        published.fused_embedder(calibration, embedder),
        *(p for name in TRAINED_EMBEDDERS for p in _trained(name, models)),
    ]


def _trained(name: str, models: Path) -> list[Product]:
    """Return the product of a trained net with the files that the manifest lists, if they all exist."""
    listed = read_manifest(models).models if (models / MANIFEST).exists() else ()
    entry = next((entry for entry in listed if entry.name == name), None)
    if entry is None or not all(entry.path_of(file).exists() for file in entry.files):
        return []
    how = (
        f"`python -m training.train {name}` trains it and `python -m training.export runs/{name} --models "
        f"{models}` exports it"
        if name not in TRAINED_DETECTORS
        else "docs/experiments/own-cascade.md has the commands that train and export it"
    )
    specs = [(file.file, OrtSession(entry.path_of(file), Device("cpu")).spec) for file in entry.files]
    recipes = tuple(Recipe(file, spec, None, how=how) for file, spec in specs)
    return [Product(name, entry.task, name == DEFAULTS[entry.task], recipes, weights=entry.weights)]
