"""The cascade's nets: their served forms, their export, and small ones that learn white boxes."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy import ndarray

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.pyramid import ImagePyramid
from app.vision.spec import RNetSpec
from tests.training.learning import gradients, least_move, share_left
from tests.training.runs import Whole, interrupted_after, untimed
from training import checkpoint, logbook
from training.cascade_config import Kinds, StageConfig, build_trained, config_of, find
from training.cascade_recipes import export_run, spec_of
from training.config import BEST_WEIGHTS, RUN_FILE, Augmentation
from training.data.candidates import Candidates, CropBatches
from training.data.scenes import Portrait, Scene
from training.data.tiles import Tiles
from training.detector_losses import cascade_loss
from training.models.cascade import onet, pnet, rnet, serve
from training.models.mtcnn_tuned import tuned
from training.train_cascade import Learnt, train, validate

SETTINGS = StageConfig(
    name="cascade_rnet_scratch",
    stage="rnet",
    size=24,
    crop=1.3,
    kinds=Kinds(faces=0.3, near=0.2),
    epochs=3,
    steps=20,
    batch=32,
    learning_rate=5e-3,
    final_learning_rate=1e-4,
    ema=0.9,
    augment=Augmentation(flip_share=0.5, shift=0.05, scale=0.1),
)


def randomised(net: keras.Model) -> keras.Model:
    """Weights and statistics that no layer leaves as they are."""
    rng = np.random.default_rng(0)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in layer.get_weights()]
            )
    return net


def scenes(count: int) -> list[Scene]:
    """White boxes of a face's shape on noise."""
    rng = np.random.default_rng(0)
    out = []
    for i in range(count):
        image = rng.integers(0, 120, (120, 160, 3), np.uint8)
        height = rng.uniform(20, 60)
        corner = rng.uniform(0, 50, 2)
        box = np.array([*corner, *(corner + np.array([0.8, 1.0]) * height)], np.float32).round()
        x1, y1, x2, y2 = box.astype(int)
        image[y1:y2, x1:x2] = 230
        out.append(Scene(f"{i}.png", ImagePyramid(image), box[None], np.array([False])))
    return out


def learnt(settings: StageConfig) -> Learnt:
    rng = np.random.default_rng(1)
    photos = scenes(12)
    corner = rng.uniform(0, 90, (300, 2))
    found = np.concatenate([corner, corner + rng.uniform(20, 60, (300, 1))], axis=1).astype(np.float32)
    proposals = Candidates(rng.integers(0, 12, 300), found, np.ones(300, np.float32))
    unit = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    faces = np.concatenate([scene.faces for scene in photos])
    points = faces[:, None, :2] + unit * (faces[:, None, 2:] - faces[:, None, :2])
    portraits = [Portrait(scene.name, scene.picture, points[i]) for i, scene in enumerate(photos)]
    source = (
        Tiles(photos, settings)
        if settings.stage == "pnet"
        else CropBatches(photos, proposals, (portraits, faces), settings)
    )
    facts: dict[str, object] = {"sources": ["wider"], "sha256": "0" * 64}
    return Learnt(source, list(source.epoch(99))[:4], facts)


def test_served_pnet_is_the_same_function() -> None:
    net = randomised(pnet())
    image = np.random.default_rng(1).uniform(0, 255, (2, 40, 64, 3)).astype(np.float32)
    wanted = np.asarray(net(image))
    served = serve(net)(image)
    assert wanted.shape == (2, 13, 25, 5)  # a window of 16, stride 2
    scale = np.ptp(wanted)
    assert np.abs(np.asarray(served["offsets"]) - wanted[..., 1:]).max() < 1e-4 * scale
    score = 1 / (1 + np.exp(-wanted[..., 0]))
    assert np.abs(np.asarray(served["score"]) - score).max() < 1e-4
    assert np.ptp(score) > 1e-3


@pytest.mark.parametrize(("build", "size", "outputs"), [(rnet, 24, 5), (onet, 64, 15)])
def test_served_crop_nets_name_their_answers(build, size: int, outputs: int) -> None:  # type: ignore[no-untyped-def] # a builder of nets
    net = randomised(build())
    crops = np.random.default_rng(1).uniform(0, 255, (3, size, size, 3)).astype(np.float32)
    wanted = np.asarray(net(crops))
    served = serve(net)(crops)
    assert wanted.shape == (3, outputs)
    np.testing.assert_allclose(served["offsets"], wanted[:, 1:5], rtol=1e-5)
    np.testing.assert_allclose(served["score"], 1 / (1 + np.exp(-wanted[:, 0])), rtol=1e-4)
    if outputs == 15:
        np.testing.assert_allclose(served["points"], wanted[:, 5:], rtol=1e-5)


@pytest.mark.parametrize(("stage", "outputs"), [("rnet", 5), ("onet", 15)])
def test_the_published_nets_are_trained_with_one_head(stage: str, outputs: int) -> None:
    assert tuned(stage).output_shape == (None, outputs)


TINY = SETTINGS.model_copy(update={"epochs": 2, "steps": 2, "batch": 8})


class Tiny:
    """A run of an R-Net small enough for tests."""

    CONFIG = TINY

    @staticmethod
    def build() -> keras.Model:
        return rnet(24, (4, 4), 8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Whole(train(Tiny, TINY, learnt(TINY), folder, resume=False), folder)


def test_a_run_leaves_what_its_export_needs(whole: Whole) -> None:
    assert [row["epoch"] for row in whole.progress.rows] == [1, 2]
    measures = {"validation_loss", "validation_error", "validation_iou"}
    assert all(measures <= set(row) and np.isfinite(list(row.values())).all() for row in whole.progress.rows)
    assert config_of(whole.folder) == TINY
    assert json.loads((whole.folder / RUN_FILE).read_text())["data"] == learnt(TINY).facts
    keras.utils.set_random_seed(TINY.seed)
    begun, trained = Tiny.build(), Tiny.build()
    trained.load_weights(whole.folder / BEST_WEIGHTS)
    assert least_move(begun, trained) > 1e-3


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: Whole, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logbook.Logbook, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Tiny, TINY, learnt(TINY), tmp_path, resume=False)
    resumed = train(Tiny, TINY, learnt(TINY), tmp_path, resume=True)
    assert untimed(whole.progress) == untimed(resumed)


def test_a_run_is_not_overwritten_and_goes_on_with_its_own_data_alone(whole: Whole) -> None:
    data = learnt(TINY)
    with pytest.raises(FileExistsError, match="--resume"):
        train(Tiny, TINY, data, whole.folder, resume=False)
    other = Learnt(data.training, data.validation, data.facts | {"sha256": "1" * 64})
    with pytest.raises(ValueError, match="other data"):
        train(Tiny, TINY, other, whole.folder, resume=True)


PIECES = find("cascade_pnet").CONFIG.model_copy(
    update={"tile": 64, "batch": 8, "steps": 8, "augment": Augmentation()}
)
POINTED = SETTINGS.model_copy(
    update={
        "stage": "onet",
        "size": 32,
        "kinds": Kinds(faces=0.3, near=0.2, points=0.3),
        "points_weight": 1.0,
    }
)


@pytest.mark.parametrize(
    ("settings", "build"),
    [(PIECES, pnet), (SETTINGS, rnet), (POINTED, partial(onet, 32, (8, 8, 8), 16))],
    ids=["pnet", "rnet", "onet"],
)
def test_every_weight_gets_a_gradient_and_a_few_steps_lower_the_loss(
    settings: StageConfig, build: Callable[[], keras.Model]
) -> None:
    keras.utils.set_random_seed(0)
    net, (images, truth) = build(), learnt(settings).validation[0]
    loss = cascade_loss(settings.hardest, settings.rivals, settings.box_weight, settings.points_weight)
    assert min(gradients(net, loss, images, truth).values()) > 1e-6
    assert share_left(net, loss, images, truth, steps=3, rate=1e-2) < 0.9


@pytest.mark.slow
def test_pnet_learns_from_pieces() -> None:
    keras.utils.set_random_seed(0)
    data = learnt(PIECES)
    net = pnet((8, 8, 8, 16))
    net.compile(keras.optimizers.Adam(1e-2), cascade_loss(1.0, 4, 1.0, 0))
    before = validate(net, data.validation, PIECES)
    for epoch in range(8):
        for images, truth in data.training.epoch(epoch):
            net.train_on_batch(images, truth)
    after = validate(net, data.validation, PIECES)
    assert after["validation_loss"] < 0.6 * before["validation_loss"]


def test_a_runs_net_is_exported_as_it_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "cascade_rnet_scratch"
    folder.mkdir()
    net = randomised(find(folder.name).build())
    checkpoint.save_best(folder / BEST_WEIGHTS, net)
    facts = {"config": SETTINGS.model_dump(mode="json"), "data": {"sources": ["wider"], "sha256": "0" * 64}}
    (folder / RUN_FILE).write_text(json.dumps(facts))
    assert config_of(folder) == SETTINGS
    assert_exported(net, export_run(folder, tmp_path))
    assert spec_of(folder).source_sha256 == "0" * 64


def assert_exported(net: keras.Model, path: Path) -> None:
    session = OrtSession(path, Device("cpu", threads=1))
    assert isinstance(session.spec, RNetSpec)
    assert (session.spec.crop, session.spec.size) == (1.3, 24)
    assert session.spec.research_only
    crops: ndarray = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), np.uint8)
    wanted = np.asarray(net(crops.astype(np.float32)))
    np.testing.assert_allclose(session.run(crops)["offsets"], wanted[:, 1:5], atol=1e-4)


@pytest.mark.slow
def test_a_run_learns_resumes_and_is_exported(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    run = find("cascade_rnet_scratch")
    data = learnt(SETTINGS)
    before = validate(run.build(), data.validation, SETTINGS)
    train(
        run, SETTINGS.model_copy(update={"epochs": 2}), data, tmp_path / "cascade_rnet_scratch", resume=False
    )
    with pytest.raises(FileExistsError, match="--resume"):
        train(run, SETTINGS, data, tmp_path / "cascade_rnet_scratch", resume=False)
    progress = train(run, SETTINGS, data, tmp_path / "cascade_rnet_scratch", resume=True)
    assert progress.epoch == 3
    last = progress.rows[-1]
    assert last["validation_error"] < 0.15 < before["validation_error"]
    assert last["validation_iou"] > 0.6 > before["validation_iou"]

    assert config_of(tmp_path / "cascade_rnet_scratch") == SETTINGS
    net = build_trained(tmp_path / "cascade_rnet_scratch")
    assert_exported(net, export_run(tmp_path / "cascade_rnet_scratch", tmp_path))
    assert spec_of(tmp_path / "cascade_rnet_scratch").source_sha256 == "0" * 64


def test_an_unknown_stage_run_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="cascade_onet, cascade_onet_scratch, cascade_pnet"):
        find("nothing")


@pytest.mark.parametrize("name", ["cascade_pnet", "cascade_rnet", "cascade_onet"])
def test_every_stages_run_has_a_spec(name: str, tmp_path: Path) -> None:
    about = {
        "config": find(name).CONFIG.model_dump(mode="json"),
        "data": {"sources": ["wider"], "sha256": "0" * 64},
    }
    (tmp_path / RUN_FILE).write_text(json.dumps(about))
    spec = spec_of(tmp_path)
    assert spec.kind == find(name).CONFIG.stage
    assert spec.research_only
