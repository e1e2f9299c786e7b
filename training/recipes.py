"""What the model store is made of: every product, its files, their specs and how their nets are built."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import keras

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.spec import (
    AnchorFreeSpec,
    EmbedderSpec,
    FusionSpec,
    HeadSpec,
    LandmarkSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    RNetSpec,
    Task,
)
from training import cascade_recipes
from training.calibration import Calibrated, read_calibration
from training.config import BEST_WEIGHTS, RUN_FILE, build_trained, config_of, face_config_of
from training.export import export, serving_net
from training.importers import dlib_resnet, mtcnn, sface, yunet
from training.importers.parity import Parity
from training.models.fusion import fusion
from training.systems import trained_system

RESEARCH_ONLY = "LicenseRef-research-only"
TRAINED = ("landmarks68", "landmarks15", "cnn68", "cnn15", "mobilenet15")
"""Landmark nets trained here, each from the run of its name."""

TRAINED_FACES = ("centerloss", "triplet", "siamese")
"""Nets for embeddings trained here, likewise."""

FUSED = {"sface": (0.3, True), "dlib": (0.7, False)}
"""The default embedder's parts: squares of their weights, and whether the mirrored crop is averaged in."""

_EMBEDDING = 128  # numbers of an imported embedder's vector

MTCNN_STAGES: dict[str, tuple[type[PNetSpec | RNetSpec | ONetSpec], dict[str, object]]] = {
    "pnet": (PNetSpec, {"factor": 0.709, "nms_per_scale": 0.5, "nms": 0.7, "max_candidates": 1024}),
    "rnet": (RNetSpec, {"size": 24, "crop": 0.96, "nms": 0.7, "max_candidates": 512}),
    "onet": (ONetSpec, {"size": 48, "crop": 0.96, "nms": 0.5, "nms_metric": "iou"}),
}
"""MTCNN's stages, and what goes with their published weights whatever the settings."""

MTCNN: dict[str, dict[str, object]] = {
    "pnet": {"threshold": 0.75},
    "rnet": {"threshold": 0.6},
    "onet": {"threshold": 0.85},
}
"""The settings of docs/decisions/0010."""

MTCNN_THOROUGH: dict[str, dict[str, object]] = {
    "pnet": {"threshold": 0.5},
    "rnet": {"threshold": 0.58},
    "onet": {"threshold": 0.95, "score_weights": {"proposal": 0.6, "rnet": 1.0}},
}
"""Those of docs/decisions/0020: they find more faces, and take longer."""

DEFAULT_DETECTOR = "cascade"
DEFAULT_LANDMARKS = "landmarks68"
DEFAULT_EMBEDDER = "fused"
DATA = {
    "300w": "300-W (HELEN, AFW, LFPW training parts)",
    "kaggle15": "Kaggle's Facial Keypoints format, its rows made from 300-W's training parts",
}
"""The datasets that `prepare` knows, for the `source` of a spec."""


@dataclass(frozen=True)
class Recipe:
    """One ONNX file: its spec, and how its Keras net (RGB 0..255 in, named outputs) is made, if it can be.

    `parity` compares an imported net, as `build` makes it, with its source.
    """

    file: str
    spec: ModelSpec
    build: Callable[[Path], keras.Model] | None
    parity: Callable[[keras.Model, Path], Parity] | None = None
    unit_length: str | None = None
    half: bool = False
    tolerance: float = 2e-5
    how: str = ""

    def net(self, cache: Path) -> keras.Model:
        """Return the Keras net. Raises ValueError where it cannot be made, and what the importers raise."""
        if self.build is None:
            raise ValueError(f"{self.file} cannot be made here: {self.how}")
        return self.build(cache)

    def write(self, net: keras.Model, path: Path, golden: Path) -> float:
        """Write what `net` returns and its golden file; return the largest difference of ONNX from Keras."""
        if len(net.input_shape) == 4:
            net = serving_net(net, self.unit_length)
        return export(net, self.spec, path, golden, half=self.half, tolerance=self.tolerance)


@dataclass(frozen=True)
class Product:
    """A named model and its files."""

    name: str
    task: Task
    default: bool
    recipes: tuple[Recipe, ...]
    parts: tuple[str, ...] = ()


def products(models: Path, runs: Path) -> list[Product]:
    """Every model of the store, in the manifest's order."""
    calibration = read_calibration(models)
    return [
        _cascade(),
        _mtcnn("mtcnn", MTCNN),
        _mtcnn("mtcnn_thorough", MTCNN_THOROUGH),
        *(product for name in TRAINED for product in _trained_landmarks(name, models, runs)),
        _embedder("sface", sface, "arcface", calibration, flip_average=False),
        _embedder("dlib", dlib_resnet, "dlib", calibration, flip_average=True),
        _fused(calibration),
        *(product for name in TRAINED_FACES for product in _trained_faces(name, models, runs, calibration)),
    ]


def _mtcnn(name: str, settings: dict[str, dict[str, object]]) -> Product:
    recipes = tuple(_published(name, stage, f"{name}-{stage}.onnx", settings[stage]) for stage in settings)
    return Product(name, "detect", name == DEFAULT_DETECTOR, recipes)


def _published(name: str, stage: str, file: str, settings: dict[str, object]) -> Recipe:
    """A stage of MTCNN with the published weights."""
    about: dict[str, object] = {
        "model": name,
        "licence": mtcnn.LICENCE,
        "research_only": False,
        "source": mtcnn.SOURCE,
        "source_sha256": mtcnn.SHA256[stage],
    }
    kind, fixed = MTCNN_STAGES[stage]
    spec = kind.model_validate(fixed | about | settings)
    return Recipe(file, spec, partial(mtcnn.load, stage), partial(mtcnn.parity, stage))


def _cascade() -> Product:
    """YuNet for P-Net, MTCNN's R- and O-Net behind it."""
    settings = cascade_recipes.SETTINGS
    about: dict[str, object] = {
        "model": cascade_recipes.NAME,
        "licence": yunet.LICENCE,
        "research_only": False,
        "source": yunet.SOURCE,
        "source_sha256": yunet.SHA256,
    }
    spec = AnchorFreeSpec.model_validate(cascade_recipes.YUNET | about | settings["pnet"])
    files = {stage: f"{cascade_recipes.NAME}-{stage}.onnx" for stage in settings}
    recipes = [Recipe(files["pnet"], spec, yunet.load, yunet.parity, tolerance=cascade_recipes.TOLERANCE)]
    for stage in ("rnet", "onet"):
        recipes.append(_published(cascade_recipes.NAME, stage, files[stage], settings[stage]))
    return Product(cascade_recipes.NAME, "detect", cascade_recipes.NAME == DEFAULT_DETECTOR, tuple(recipes))


def _embedder(
    name: str,
    importer: ModuleType,
    template: str,
    calibration: dict[str, Calibrated],
    *,
    flip_average: bool,
) -> Product:
    known = calibration.get(name)
    spec = EmbedderSpec.model_validate(
        {
            "model": name,
            "licence": importer.LICENCE,
            "research_only": False,
            "source": importer.SOURCE,
            "source_sha256": importer.SHA256,
            "size": importer.INPUT_SIZE,
            "template": template,
            "dimension": _EMBEDDING,
            "flip_average": flip_average,
        }
        | ({} if known is None else known.model_dump())
    )

    def build(cache: Path) -> keras.Model:
        net = importer.load(cache)
        return keras.Model(net.input, {"embedding": net.output})

    recipe = Recipe(
        f"{name}.onnx", spec, build, importer.parity, unit_length="embedding", half=True, tolerance=2e-3
    )
    return Product(name, "embed", name == DEFAULT_EMBEDDER, (recipe,))


def _fused(calibration: dict[str, Calibrated]) -> Product:
    importers = {"sface": sface, "dlib": dlib_resnet}
    widths = [_EMBEDDING] * len(FUSED)
    hashes = "".join(importers[name].SHA256 for name in FUSED)
    known = calibration.get("fused")
    spec = FusionSpec.model_validate(
        {
            "model": "fused",
            "licence": " AND ".join(importers[name].LICENCE for name in FUSED),
            "research_only": False,
            "source": f"{' and '.join(FUSED)}, their vectors weighed: training/models/fusion.py",
            "source_sha256": hashlib.sha256(hashes.encode()).hexdigest(),
            "dimension": sum(widths),
            "parts": tuple(FUSED),
            "flip_average": tuple(flip for _, flip in FUSED.values()),
            "inputs": sum(widths),
        }
        | ({} if known is None else known.model_dump())
    )
    weights = [square**0.5 for square, _ in FUSED.values()]
    recipe = Recipe("fused.onnx", spec, lambda cache: fusion(widths, weights), tolerance=1e-6)
    return Product("fused", "embed", DEFAULT_EMBEDDER == "fused", (recipe,), tuple(FUSED))


def _trained_faces(name: str, models: Path, runs: Path, calibration: dict[str, Calibrated]) -> list[Product]:
    files, run = [f"{name}.onnx"] + ([f"{name}-head.onnx"] if name == "siamese" else []), runs / name
    if (run / BEST_WEIGHTS).exists():
        recipes = faces_of(run, calibration.get(name))
    elif all((models / file).exists() for file in files):
        how = f"trained; `python -m training.train {name}` makes its run, see training/configs/{name}.py"
        specs = [OrtSession(models / file, Device("cpu")).spec for file in files]
        recipes = [Recipe(f, spec, None, how=how) for f, spec in zip(files, specs, strict=True)]
    else:
        return []
    return [Product(name, "embed", name == DEFAULT_EMBEDDER, tuple(recipes))]


def faces_of(run: Path, known: Calibrated | None = None) -> list[Recipe]:
    """The files of a run of a net for embeddings: the net or branch, and a Siamese network's head."""
    config, data = face_config_of(run), json.loads((run / RUN_FILE).read_text())["data"]
    siamese = config.system == "siamese"
    begun = f", from the weights of {config.start_from}" if config.start_from else ""
    about = {
        "model": config.name,
        "licence": RESEARCH_ONLY,
        "research_only": True,
        "source": f"trained here on faces of {' and '.join(data['sources'])}{begun}: "
        f"training/configs/{config.name}.py",
        "source_sha256": data["sha256"],
        "dimension": config.dimension,
    }
    seen = {
        "size": config.size,
        "template": config.template,
        "flip_average": not siamese,
        "metric": "probability" if siamese else "cosine",
    }
    spec = EmbedderSpec.model_validate(about | seen | ({} if known is None else known.model_dump()))

    def embedding(cache: Path) -> keras.Model:
        net = trained_system(run).embed
        return keras.Model(net.input, {"embedding": net.output} | ({"branch": net.output} if siamese else {}))

    def head(cache: Path) -> keras.Model:
        net = trained_system(run).head
        assert net is not None
        return keras.Model(net.input, {"probability": keras.ops.sigmoid(net.output)})

    recipes = [
        Recipe(f"{config.name}.onnx", spec, embedding, unit_length="embedding", half=True, tolerance=2e-3)
    ]
    if siamese:
        judge = HeadSpec.model_validate(about)
        recipes.append(Recipe(f"{config.name}-head.onnx", judge, head, tolerance=2e-5))
    return recipes


def _trained_landmarks(name: str, models: Path, runs: Path) -> list[Product]:
    file, run, default = f"{name}.onnx", runs / name, name == DEFAULT_LANDMARKS
    if not (run / BEST_WEIGHTS).exists() and not (models / file).exists():
        return []
    if not (run / BEST_WEIGHTS).exists():
        spec = OrtSession(models / file, Device("cpu")).spec
        how = f"trained; `python -m training.train {name}` makes its run, see training/configs/{name}.py"
        return [Product(name, "landmarks", default, (Recipe(file, spec, None, how=how),))]
    config, data = config_of(run), json.loads((run / RUN_FILE).read_text())["data"]
    trained_on = " and ".join(DATA[source] for source in data["sources"])
    trained_on += f", from the weights of {config.start_from}" if config.start_from else ""
    spec = LandmarkSpec(
        model=name,
        licence=RESEARCH_ONLY,
        research_only=True,
        source=f"trained here on {trained_on}: training/configs/{name}.py",
        source_sha256=data["sha256"],
        size=config.size,
        template=config.template,
        scheme=config.scheme,
    )

    def build(cache: Path) -> keras.Model:
        net = build_trained(run)
        return keras.Model(net.input, {"points": net.output})

    return [Product(name, "landmarks", default, (Recipe(file, spec, build, half=True, tolerance=2e-3),))]
