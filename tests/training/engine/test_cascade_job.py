"""Training of the cascade's stages: runs of small nets that learn white boxes, and the data of a run."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from tests.training.batches import arrays_of, assert_equal, batches_of
from tests.training.cascade_sets import ONET, PNET, RNET, cascade_data
from tests.training.landmark_sets import synthetic_faces, write_prepared
from tests.training.learning import gradients, least_move, share_left
from tests.training.runs import FinishedRun, assert_same_run, interrupted_after
from training.config.registry import BEST_WEIGHTS, RUN_FILE, RunError, build_trained, config_of, find
from training.config.schema import Augmentation, SampleShares, StageConfig
from training.data.batches.crops import CropBatches
from training.data.batches.tiles import TileBatches
from training.data.datasets.scenes import Portrait
from training.data.datasets.splits import is_held_out
from training.data.storage import candidates
from training.data.storage.candidates import Candidates
from training.engine import cascade_data as stage_data
from training.engine import checkpoints, run_log
from training.engine.cascade_data import CascadeData, read
from training.engine.cascade_job import train, validate
from training.losses.detection import cascade_loss
from training.models.cascade import onet, pnet, rnet

TINY = RNET.model_copy(update={"epochs": 2, "steps": 2, "batch": 8})


class Tiny:
    """A run of an R-Net small enough for tests."""

    CONFIG = TINY

    @staticmethod
    def build() -> keras.Model:
        return rnet(24, (4, 4), 8)


class TinyPNet:
    """The same of a P-Net."""

    CONFIG = PNET.model_copy(update={"epochs": 1, "steps": 2, "batch": 4})

    @staticmethod
    def build() -> keras.Model:
        return pnet((4, 4, 4, 8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return FinishedRun(train(Tiny, TINY, cascade_data(TINY), folder, resume=False), folder)


def test_a_run_writes_what_export_needs(whole: FinishedRun) -> None:
    assert [row["epoch"] for row in whole.progress.rows] == [1, 2]
    metrics = {"validation_loss", "validation_error", "validation_false_positive_rate", "validation_iou"}
    assert all(metrics <= set(row) and np.isfinite(list(row.values())).all() for row in whole.progress.rows)
    assert config_of(whole.folder, StageConfig) == TINY
    assert json.loads((whole.folder / RUN_FILE).read_text())["data"] == cascade_data(TINY).facts
    keras.utils.set_random_seed(TINY.seed)
    untrained, trained = Tiny.build(), Tiny.build()
    trained.load_weights(whole.folder / BEST_WEIGHTS)
    assert least_move(untrained, trained) > 1e-3


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: FinishedRun, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_log.RunLog, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Tiny, TINY, cascade_data(TINY), tmp_path, resume=False)
    resumed = train(Tiny, TINY, cascade_data(TINY), tmp_path, resume=True)
    assert_same_run(whole, FinishedRun(resumed, tmp_path))


def test_a_run_is_not_overwritten_nor_resumed_on_other_data(whole: FinishedRun) -> None:
    data = cascade_data(TINY)
    with pytest.raises(RunError, match="--resume"):
        train(Tiny, TINY, data, whole.folder, resume=False)
    other = CascadeData(data.training, data.validation, data.facts | {"sha256": "1" * 64})
    with pytest.raises(ValueError, match="other data"):
        train(Tiny, TINY, other, whole.folder, resume=True)


WITH_POINTS = {"points_weight": 1.0, "sample_shares": SampleShares(faces=0.2, near_faces=0.2, portraits=0.4)}


@pytest.mark.parametrize(
    ("config", "net"),
    [(PNET, lambda: pnet((4, 4, 4, 8), points=True)), (RNET, lambda: rnet(24, (4, 4), 8, points=True))],
    ids=["pnet", "rnet"],
)
def test_pnet_and_rnet_can_learn_points_too(config: StageConfig, net: Callable[[], keras.Model]) -> None:
    config = config.model_copy(update=WITH_POINTS)
    keras.utils.set_random_seed(0)
    data, model = cascade_data(config), net()
    images, labels = data.training[0]
    assert min(gradients(model, cascade_loss(config), images, labels).values()) > 0
    before = validate(model, data.validation, config)["validation_points"]
    model.compile(keras.optimizers.Adam(1e-2), cascade_loss(config))
    model.fit(data.training, epochs=4, verbose=0)  # until the averages of the normalisation have settled
    assert validate(model, data.validation, config)["validation_points"] < 0.7 * before


@pytest.mark.usefixtures("without_curves")
def test_pnet_is_trained_on_tiles_from_the_best_weights_of_another_run(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    other = TinyPNet.build()
    (tmp_path / "other").mkdir()
    checkpoints.save_weights(tmp_path / "other" / BEST_WEIGHTS, other)
    still = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "start_from": "other"}
    config = TinyPNet.CONFIG.model_copy(update=still)
    (row,) = train(TinyPNet, config, cascade_data(config), tmp_path / "run", resume=False).rows
    assert np.isfinite(list(row.values())).all()
    assert row["validation_loss"] > 0
    trained = TinyPNet.build()
    trained.load_weights(tmp_path / "run" / BEST_WEIGHTS)
    for ours, theirs in zip(trained.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-6)


@pytest.mark.parametrize(
    ("config", "build"),
    [(PNET, pnet), (RNET, rnet), (ONET, partial(onet, 32, (8, 8, 8), 16))],
    ids=["pnet", "rnet", "onet"],
)
def test_every_weight_gets_a_gradient_and_a_few_steps_lower_the_loss(
    config: StageConfig, build: Callable[[], keras.Model]
) -> None:
    keras.utils.set_random_seed(0)
    net, (images, labels) = build(), cascade_data(config).validation[0]
    loss = cascade_loss(config)
    assert min(gradients(net, loss, images, labels).values()) > 1e-6
    assert share_left(net, loss, images, labels, steps=3, rate=1e-2) < 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
def test_pnet_learns_from_tiles(tmp_path: Path) -> None:
    class Wider(TinyPNet):
        @staticmethod
        def build() -> keras.Model:
            return pnet((8, 8, 8, 16))

    config = PNET.model_copy(
        update={"epochs": 8, "learning_rate": 1e-2, "final_learning_rate": 1e-2, "ema": 0.0}
    )
    data = cascade_data(config)
    keras.utils.set_random_seed(config.seed)
    before = validate(Wider.build(), data.validation, config)
    after = train(Wider, config, data, tmp_path, resume=False).rows[-1]
    assert after["validation_loss"] < 0.6 * before["validation_loss"]


@pytest.mark.slow
def test_a_run_learns_and_resumes(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    run, folder = find("cascade_rnet_scratch"), tmp_path / "cascade_rnet_scratch"
    data = cascade_data(RNET)
    before = validate(run.build(), data.validation, RNET)
    train(run, RNET.model_copy(update={"epochs": 2}), data, folder, resume=False)
    with pytest.raises(RunError, match="--resume"):
        train(run, RNET, data, folder, resume=False)
    progress = train(run, RNET, data, folder, resume=True)
    assert progress.epoch == 3
    last = progress.rows[-1]
    assert last["validation_error"] < 0.15 < before["validation_error"]
    assert last["validation_iou"] > 0.6 > before["validation_iou"]
    assert config_of(folder, StageConfig) == RNET
    again = validate(build_trained(folder), data.validation, RNET)
    assert again["validation_error"] == pytest.approx(progress.best)


def test_validation_figures_of_outputs_that_equal_the_labels() -> None:
    data = cascade_data(ONET)

    class Answers:
        """Returns the labels as the outputs of a net, with certain scores."""

        def __init__(self) -> None:
            self.left = list(data.validation)

        def __call__(self, images: np.ndarray, training: bool) -> np.ndarray:
            _, labels = self.left.pop(0)
            return np.concatenate([20 * labels[:, :1] - 10, labels[:, 2:6], labels[:, 7:17]], axis=1)

    row = validate(Answers(), data.validation, ONET)
    assert row["validation_error"] == pytest.approx(0, abs=1e-12)
    assert row["validation_false_positive_rate"] == 0
    assert row["validation_iou"] == pytest.approx(1)
    assert row["validation_points"] == 0
    assert row["validation_loss"] < 1e-3


PHOTOS = [f"{i}.png" for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WIDER FACE's training part with one face in each photo, MTFL's with 12 portraits, and candidates."""
    root = tmp_path_factory.mktemp("data")
    images = root / "wider" / "WIDER_train" / "images"
    for path in (images, root / "wider" / "wider_face_split", root / "mtfl5"):
        path.mkdir(parents=True)
    lines = []
    for name in PHOTOS:
        cv2.imwrite(str(images / name), np.full((60, 80, 3), 50, np.uint8))
        lines += [name, "1", "20 10 24 30 0 0 0 0 0 0"]
    (root / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("\n".join(lines))
    for i in range(12):
        cv2.imwrite(str(root / "mtfl5" / f"p{i}.png"), np.full((40, 40, 3), 90, np.uint8))
    rows = "\n".join(f"p{i}.png 10 30 20 12 28 10 10 20 30 30" for i in range(12))
    (root / "mtfl5" / "training.txt").write_text(rows)
    boxes = np.tile(np.array([[40, 20, 60, 40]], np.float32), (len(PHOTOS), 1))
    mined = Candidates(np.arange(len(PHOTOS)), boxes, np.ones(len(PHOTOS), np.float32))
    candidates.save(root / "c.npz", mined, np.tile(np.array([[5, 5, 35, 35]], np.float32), (12, 1)))
    return root


SMALL = StageConfig(
    name="small",
    stage="onet",
    size=16,
    sample_shares=SampleShares(faces=0.3, near_faces=0.2, portraits=0.3),
    epochs=1,
    steps=2,
    batch=4,
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    validation_share=0.3,
    augment=Augmentation(flip_share=0.5, rotate=10, shift=0.05),
)


def test_photos_and_portraits_are_split_by_their_names(folder: Path) -> None:
    data = read(folder, SMALL, folder / "c.npz")
    held_out = sum(is_held_out(name, SMALL.validation_share, SMALL.seed) for name in PHOTOS)
    assert 0 < held_out < len(PHOTOS)
    assert data.facts["photographs"] == {"train": len(PHOTOS) - held_out, "validation": held_out}
    assert data.facts["sources"] == [f"boxes:{folder.name}", "mtfl5"]
    assert data.facts["files"] == ["wider_face_train_bbx_gt.txt", "c.npz", "training.txt"]
    assert isinstance(data.training, CropBatches)
    assert len(data.training) == SMALL.steps
    assert [images.shape for images, _ in data.validation] == [(4, 16, 16, 3)] * 24
    with_points = sum(labels[:, 17].sum() for _, labels in data.validation)
    assert with_points > 0


def test_the_faces_of_a_photo_are_not_in_both_splits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = synthetic_faces(40, 0)  # two faces in each photo
    write_prepared(tmp_path, faces, faces)
    mined, boxes = candidates.load(folder / "c.npz")
    candidates.save(tmp_path / "c.npz", mined, np.tile(boxes[:1], (52, 1)))
    parts: list[list[Portrait]] = []

    class Recorded(CropBatches):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            parts.append(arguments[2][0])

    monkeypatch.setattr(stage_data, "CropBatches", Recorded)
    read(folder, SMALL, tmp_path / "c.npz", tmp_path)
    trained, held_out = ({p.name for p in part} & set(faces.names) for part in parts)
    assert trained
    assert held_out
    assert trained | held_out == set(faces.names)
    photos = dict(zip(faces.names, faces.photos, strict=True))
    assert {photos[name] for name in trained}.isdisjoint(photos[name] for name in held_out)


def test_wider_face_is_recognised_by_the_names_of_its_files(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    images = tmp_path / "data" / "wider" / "WIDER_train" / "images"
    labels = tmp_path / "data" / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    first = next(images.rglob("*.png"))
    wider = first.with_name("0_Parade_marchingband_1_849.jpg")
    first.rename(wider)
    labels.write_text(labels.read_text().replace(first.name, wider.name, 1))
    data = read(tmp_path / "data", SMALL.model_copy(update={"stage": "pnet", "size": 16, "tile_size": 32}))
    assert data.facts["sources"] == ["wider"]


def test_validation_batches_are_the_same_for_every_seed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The seed also changes the split, which is therefore fixed here.
    monkeypatch.setattr(stage_data, "is_held_out", lambda name, share, seed: name in PHOTOS[:20])
    first, second = (
        read(folder, SMALL.model_copy(update={"seed": seed}), folder / "c.npz") for seed in (0, 1)
    )
    assert_equal(arrays_of(first.validation), arrays_of(second.validation))


def test_pnet_needs_no_candidates(folder: Path) -> None:
    config = SMALL.model_copy(update={"stage": "pnet", "size": 16, "tile_size": 32})
    data = read(folder, config)
    assert isinstance(data.training, TileBatches)
    assert data.facts["sources"] == [f"boxes:{folder.name}"]
    assert len(batches_of(data.training, 0)) == 2


@pytest.mark.parametrize(
    ("share", "message"), [(0.0, "0 of the 40 photos"), (0.999999, "40 photos .* train")]
)
def test_a_split_without_photos_is_refused(share: float, message: str, folder: Path) -> None:
    config = SMALL.model_copy(update={"validation_share": share})
    with pytest.raises(RunError, match=f"{message}.*Give --set validation_share or --seed"):
        read(folder, config, folder / "c.npz")


def test_candidates_for_pnet_are_refused(folder: Path) -> None:
    config = SMALL.model_copy(update={"stage": "pnet", "tile_size": 32})
    with pytest.raises(RunError, match="is a P-Net, which needs no candidates"):
        read(folder, config, folder / "c.npz")


def test_candidates_of_other_photos_are_refused(folder: Path, tmp_path: Path) -> None:
    mined, boxes = candidates.load(folder / "c.npz")
    candidates.save(tmp_path / "c.npz", replace(mined, photo=mined.photo + len(PHOTOS)), boxes)
    with pytest.raises(RunError, match=r"has 40.* Run training.mine_candidates with the same --data"):
        read(folder, SMALL, tmp_path / "c.npz")


def test_candidates_of_other_portraits_are_refused(folder: Path, tmp_path: Path) -> None:
    mined, boxes = candidates.load(folder / "c.npz")
    candidates.save(tmp_path / "c.npz", mined, boxes[:-1])
    with pytest.raises(RunError, match=r"boxes of 11 portraits, and there are 12\."):
        read(folder, SMALL, tmp_path / "c.npz")


@pytest.mark.usefixtures("without_curves")
def test_the_config_says_by_which_metric_weights_are_chosen(tmp_path: Path) -> None:
    for metric in ("validation_error", "validation_false_positive_rate"):
        config = TINY.model_copy(update={"choose_by": metric, "epochs": 1})
        progress = train(Tiny, config, cascade_data(config), tmp_path / metric, resume=False)
        assert progress.best == progress.rows[0][metric]


@pytest.mark.parametrize("stage", ["rnet", "onet"])
def test_the_later_stages_need_candidates(stage: str, folder: Path) -> None:
    with pytest.raises(RunError, match=r"needs candidates\. Run training\.mine_candidates"):
        read(folder, SMALL.model_copy(update={"stage": stage}))


def test_other_candidates_are_other_data(folder: Path, tmp_path: Path) -> None:
    boxes = np.tile(np.array([[40, 20, 61, 41]], np.float32), (len(PHOTOS), 1))
    other = Candidates(np.arange(len(PHOTOS)), boxes, np.ones(len(PHOTOS), np.float32))
    candidates.save(tmp_path / "c.npz", other, np.zeros((12, 4), np.float32))
    hashes = {read(folder, SMALL, path / "c.npz").facts["sha256"] for path in (folder, tmp_path)}
    assert len(hashes) == 2
