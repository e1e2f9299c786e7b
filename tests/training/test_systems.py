"""The systems around a tiny net: what they train, what they leave, and the two graphs of the Siamese one."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
from keras import layers
from numpy import ndarray

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.pyramid import ImagePyramid
from app.vision.spec import EmbedderSpec, FusionSpec, HeadSpec
from tests.fakes import COMMON
from tests.training.learning import gradients, least_move, share_left
from tests.training.runs import Whole, interrupted_after, untimed
from training import checkpoint, config, logbook, systems
from training.config import BEST_WEIGHTS, FaceConfig, FaceRun
from training.data import gallery, records
from training.data.face_batches import FaceBatches
from training.evaluate_verification import embedder_of
from training.export import export, serving_net
from training.models import siamese
from training.models.fusion import fusion
from training.models.small_face import small_face
from training.train_faces import train, validate, validation_pairs

SETTINGS = FaceConfig(
    name="softmax",
    system="softmax",
    size=16,
    template="arcface",
    dimension=8,
    epochs=2,
    batch=16,
    learning_rate=2e-2,
    final_learning_rate=2e-3,
    ema=0.9,
    people=8,
    pictures=2,
    pairs=64,
)


def tiny() -> keras.Model:
    image = keras.Input((16, 16, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 127.5, offset=-1)(image))
    return keras.Model(image, layers.BatchNormalization(name="features")(layers.Dense(8, use_bias=False)(x)))


class Tiny:
    """A run of a net small enough for tests."""

    CONFIG = SETTINGS

    @staticmethod
    def build() -> keras.Model:
        return tiny()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people to train on and six others, each of one hue, in any light, with noise.

    The light outweighs the hue: a net that was not trained hardly tells people apart.
    """
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)

    def rows(people: int) -> list[dict[str, bytes | ndarray]]:
        out: list[dict[str, bytes | ndarray]] = []
        for label, drawn in enumerate(rng.normal(0, 1, (people, 3))):
            hue = drawn - drawn.mean()
            colour = 128 + 25 * hue / np.linalg.norm(hue)
            for i in range(6):
                light = rng.uniform(-70, 70)
                image = np.clip(rng.normal(colour + light, 10, (20, 20, 3)), 0, 255).astype(np.uint8)
                png = cv2.imencode(".png", image)[1].tobytes()
                row: dict[str, bytes | ndarray] = {"image": png, "address": f"{label}/{i}".encode()}
                numbers = {"label": label, "height": 20, "width": 20}
                out.append(row | {name: np.array([value]) for name, value in numbers.items()})
        return out

    records.write(folder / "train.tfrecord", rows(10))
    records.write(folder / "validation.tfrecord", rows(6))
    (folder / "prepare.json").write_text(
        json.dumps({"crop": {"span": 16}, "sha256": "0" * 64, "sources": ["x"]})
    )
    return folder


VARIANTS = [
    {"system": "softmax"},
    {"system": "softmax", "center_weight": 0.01},
    {"system": "triplet", "mining": "hardest"},
    {"system": "siamese"},
    {"system": "siamese", "pair_loss": "contrastive"},
    {"system": "siamese", "pair_loss": "crossed"},
]
every_system = pytest.mark.parametrize("how", VARIANTS, ids=lambda how: "-".join(map(str, how.values())))


def settings_of(how: dict[str, Any]) -> FaceConfig:
    return FaceConfig.model_validate(SETTINGS.model_dump() | how)


@every_system
def test_every_weight_gets_a_gradient_and_a_few_steps_lower_the_loss(
    how: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    settings = settings_of(how)
    system = systems.build(tiny(), settings, 10)
    inputs, truth = next(FaceBatches(gallery.load(data / "train.tfrecord"), settings).epoch(0))
    found = gradients(system.model, system.loss, inputs, truth)
    # A shift of all features leaves the difference of two as it is.
    shift = {"features/beta"} if settings.system == "siamese" else set()
    assert {path for path, size in found.items() if size < 1e-6} == shift
    assert share_left(system.model, system.loss, inputs, truth, steps=5, rate=1e-2) < 0.92
    named = {"softmax": "right", "triplet": "active", "siamese": "right_answers"}
    assert [metric.__name__ for metric in system.metrics] == [named[settings.system]]
    checkpoint.save_best(tmp_path / BEST_WEIGHTS, system.product)
    again = systems.build(tiny(), settings, 10)
    again.product.load_weights(tmp_path / BEST_WEIGHTS)
    for ours, theirs in zip(system.product.get_weights(), again.product.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
@every_system
def test_a_run_learns_and_leaves_what_serving_needs(how: dict[str, Any], data: Path, tmp_path: Path) -> None:
    settings = settings_of(how).model_copy(update={"epochs": 16})
    keras.utils.set_random_seed(settings.seed)
    unseen = gallery.load(data / "validation.tfrecord")
    before = validate(
        systems.build(tiny(), settings, 10), unseen.plain(settings.size), validation_pairs(unseen), 16
    )
    progress = train(Tiny, settings, data, tmp_path)
    assert [row["epoch"] for row in progress.rows] == list(range(1, 17))
    assert all(np.isfinite(list(row.values())).all() for row in progress.rows)
    assert progress.best < 0.9 * before["validation_error"]
    named = {"softmax": "right", "triplet": "active", "siamese": "right_answers"}
    assert named[settings.system] in progress.rows[0]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == settings.model_dump()
    assert facts["people"] == {"train": 10, "validation": 6}
    assert config.face_config_of(tmp_path) == settings
    system = systems.build(tiny(), settings, 10)
    system.product.load_weights(tmp_path / BEST_WEIGHTS)


CENTERED = settings_of({"center_weight": 0.01})


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Whole(train(Tiny, CENTERED, data, folder), folder)


def test_a_run_leaves_what_serving_needs(whole: Whole) -> None:
    assert [row["epoch"] for row in whole.progress.rows] == [1, 2]
    assert all(np.isfinite(list(row.values())).all() for row in whole.progress.rows)
    assert "right" in whole.progress.rows[0]
    facts = json.loads((whole.folder / "run.json").read_text())
    assert facts["config"] == CENTERED.model_dump()
    assert facts["people"] == {"train": 10, "validation": 6}
    assert config.face_config_of(whole.folder) == CENTERED
    assert (whole.folder / "curves.png").stat().st_size > 1000
    keras.utils.set_random_seed(CENTERED.seed)
    begun, trained = systems.build(tiny(), CENTERED, 10), systems.build(tiny(), CENTERED, 10)
    trained.product.load_weights(whole.folder / BEST_WEIGHTS)
    assert least_move(begun.product, trained.product) > 1e-3


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: Whole, data: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logbook.Logbook, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Tiny, CENTERED, data, tmp_path)
    resumed = train(Tiny, CENTERED, data, tmp_path, resume=True)
    assert untimed(whole.progress) == untimed(resumed)


def test_a_finished_run_is_not_overwritten_nor_resumed_on_other_data(
    whole: Whole, data: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "run")
    with pytest.raises(FileExistsError, match="--resume"):
        train(Tiny, CENTERED, data, folder)
    facts = json.loads((folder / "run.json").read_text())
    facts["data"]["sha256"] = "another"
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="other data"):
        train(Tiny, CENTERED, data, folder, resume=True)


@pytest.mark.parametrize("name", ["softmax", "centerloss", "triplet", "siamese"])
def test_named_runs_build_nets_of_their_own_size(name: str) -> None:
    run = config.find_face(name)
    assert isinstance(run, FaceRun)
    assert run.CONFIG.name == name
    net = run.build()
    assert net.input_shape == (None, run.CONFIG.size, run.CONFIG.size, 3)
    assert net.output_shape == (None, run.CONFIG.dimension)


def test_landmark_runs_are_of_another_kind() -> None:
    assert config.find_face("cnn68") is None


def test_the_branch_is_the_tutorials() -> None:
    net = siamese.branch(32)
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds == [
        "InputLayer",
        "Rescaling",
        *4 * ["Conv2D", "MaxPooling2D", "BatchNormalization", "ReLU"],
        "Flatten",
        "Dense",
    ]
    convolutions = [layer for layer in net.layers if isinstance(layer, layers.Conv2D)]
    assert [c.filters for c in convolutions] == [256, 128, 64, 32]
    assert all(c.kernel_size == (3, 3) and c.padding == "same" for c in convolutions)
    assert all(isinstance(c.kernel_regularizer, keras.regularizers.L2) for c in convolutions)
    assert (net.layers[-1].units, net.layers[-1].activation.__name__) == (1024, "sigmoid")


def test_contrastive_loss_by_hand() -> None:
    same, distance = np.array([1, 1, 0, 0], np.float32), np.array([0.0, 0.4, 0.3, 2.0], np.float32)
    found = np.asarray(systems.contrastive(same, distance, 1.0))
    np.testing.assert_allclose(found, [0, 0.08, 0.5 * 0.49, 0], rtol=1e-5)


def test_crossed_pairs_by_hand() -> None:
    # Left people 0 and 1, right people 0 and 0: the pairs of left 0 are genuine, those of left 1 are not.
    truth = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    logits = np.array([[2.0, -1.0], [0.5, -3.0]], np.float32)
    found = np.concatenate([np.zeros((2, 2), np.float32), logits], axis=1)
    genuine = np.log1p(np.exp(-logits[0])).mean()
    impostors = np.log1p(np.exp(logits[1])).mean()
    assert float(systems.crossed(truth, found)) == pytest.approx(0.5 * (genuine + impostors), rel=1e-5)


def test_the_same_pictures_are_alike_to_every_system() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    net = small_face(16, 8)
    system = systems.build(net, SETTINGS, 3)
    found = systems.compared(system, images, np.arange(4), np.array([0, 1, 2, 0]), 2)
    np.testing.assert_allclose(found[:3], 1, atol=1e-5)
    assert found[3] < 0.999


def test_branch_and_head_are_two_graphs_that_answer_as_the_whole(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    settings = FaceConfig.model_validate(SETTINGS.model_dump() | {"system": "siamese"})
    system = systems.build(tiny(), settings, 3)
    assert system.head is not None
    common = {"model": "pair", "dimension": 8} | COMMON
    branch = keras.Model(
        system.embed.input, {"embedding": system.embed.output, "branch": system.embed.output}
    )
    head = keras.Model(system.head.input, {"probability": keras.ops.sigmoid(system.head.output)})
    spec = EmbedderSpec.model_validate(
        common | {"size": 16, "template": "arcface", "flip_average": False, "metric": "probability"}
    )
    files = tmp_path / "branch.onnx", tmp_path / "head.onnx"
    export(serving_net(branch, "embedding"), spec, files[0], tmp_path / "branch.npz")
    export(head, HeadSpec.model_validate(common), files[1], tmp_path / "head.npz")

    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3), np.uint8)
    left, right = np.arange(3), np.arange(3, 6)
    logits = systems.compared(system, images, left, right, 8)
    sessions = [OrtSession(file, Device("cpu")) for file in files]
    kept = sessions[0].run(images)
    assert np.linalg.norm(kept["embedding"], axis=1) == pytest.approx(1, abs=1e-5)
    found = sessions[1].run(np.stack([kept["branch"][left], kept["branch"][right]], axis=1))["probability"]
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("name", ["softmax", "siamese"])
def test_a_runs_embedder_is_measured_as_it_would_be_served(name: str, tmp_path: Path) -> None:
    run = config.find_face(name)
    assert run is not None
    system = systems.build(run.build(), run.CONFIG, 3)
    checkpoint.save_best(tmp_path / "best.weights.h5", system.product)
    data = {"sources": ["made"], "sha256": "0" * 64}
    facts = {"config": run.CONFIG.model_dump(), "people": {"train": 3}, "data": data}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    embedder = embedder_of(tmp_path)
    assert (embedder.spec.model, embedder.spec.research_only) == (name, True)
    assert embedder.spec.metric == ("probability" if name == "siamese" else "cosine")
    rng = np.random.default_rng(0)
    picture = ImagePyramid(rng.integers(0, 256, (90, 90, 3), np.uint8))
    points = np.array([[[30, 35], [60, 35], [45, 50], [33, 65], [57, 65]]], np.float32)
    points = np.concatenate([points, points + 6])
    assert np.linalg.norm(embedder(picture, points), axis=1) == pytest.approx(1, abs=1e-5)
    kept = embedder.represent(picture, points)
    assert embedder.compare(kept[:1], kept[:1])[0] > embedder.compare(kept[:1], kept[1:])[0]


def test_a_fusions_cosine_is_the_weighed_mean_of_its_parts(tmp_path: Path) -> None:
    spec = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(True, False), inputs=5, dimension=5, **COMMON
    )
    export(fusion([2, 3], [0.2**0.5, 0.8**0.5]), spec, tmp_path / "both.onnx", tmp_path / "both.npz")
    rng = np.random.default_rng(0)
    a, b = (
        v / np.linalg.norm(v, axis=1, keepdims=True)
        for v in (rng.normal(size=(2, 2)), rng.normal(size=(2, 3)))
    )
    given = np.concatenate([a, b], axis=1).astype(np.float32)
    out = OrtSession(tmp_path / "both.onnx", Device("cpu")).run(given)["embedding"]
    assert np.linalg.norm(out, axis=1) == pytest.approx(1, abs=1e-6)
    assert out[0] @ out[1] == pytest.approx(0.2 * a[0] @ a[1] + 0.8 * b[0] @ b[1], abs=1e-6)
