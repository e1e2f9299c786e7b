"""Training of landmark nets: a few steps on synthetic faces. The loop itself: `test_epochs.py`."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.training.runs import Whole, interrupted_after, untimed
from training import config, logbook
from training.config import Augmentation, TrainConfig, pretrained
from training.data import batches, crops, records
from training.metrics import nme
from training.train_landmarks import begin_at, train, validate

SETTINGS = TrainConfig(
    name="cnn68",
    size=32,
    template="face",
    scheme="ibug68",
    loss="mean_squared",
    choose_by="validation_rmse",
    epochs=3,
    batch=4,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    warmup_epochs=1,
    ema=0.9,
    augment=Augmentation(flip_share=0.5, rotate=10, light_share=0.5, contrast=0.3, edge_share=0.5, edge=0.1),
)


class Small:
    """A run of a net small enough for tests."""

    CONFIG = SETTINGS

    @staticmethod
    def build() -> keras.Model:
        image = keras.Input((32, 32, 3))
        x = layers.Rescaling(1 / 127.5, offset=-1)(image)
        x = layers.Flatten()(layers.Conv2D(4, 5, strides=4, activation="relu")(x))
        return keras.Model(image, layers.Dense(136)(layers.Dropout(0.2)(x)))


def faces(count: int, seed: int) -> crops.Crops:
    rng = np.random.default_rng(seed)
    return crops.Crops(
        images=rng.integers(0, 256, (count, 70, 70, 3), np.uint8),
        points=rng.uniform(15, 55, (count, 68, 2)).astype(np.float32),
        five=rng.uniform(20, 50, (count, 5, 2)).astype(np.float32),
        transforms=rng.normal(0, 1, (count, 2, 3)).astype(np.float32),
        corners=np.tile(np.array([[-5, -5], [75, -5], [75, 75], [-5, 75]], np.float32), (count, 1, 1)),
        detected=rng.random(count) < 0.5,
        names=tuple(f"synthetic/{i}" for i in range(count)),
        photos=tuple(f"p{i // 2}" for i in range(count)),
        span=40,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    crops.save(folder / "train.tfrecord", faces(10, 0))
    crops.save(folder / "validation.tfrecord", faces(4, 1))
    (folder / "prepare.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return Whole(train(Small, SETTINGS, data, folder), folder)


def untrained(net: keras.Model, data: Path) -> dict[str, float]:
    """The measures of a net before any training."""
    images, truth = batches.plain(crops.load(data / "validation.tfrecord"), SETTINGS.size)
    return validate(net, images, truth, SETTINGS)


def test_records_come_back_as_they_were(data: Path) -> None:
    before, after = faces(10, 0), crops.load(data / "train.tfrecord")
    for name in ("images", "points", "five", "transforms", "corners", "detected"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.names, after.photos, after.span) == (before.names, before.photos, before.span)


def test_records_are_what_tensorflow_reads(data: Path) -> None:
    path = data / "train.tfrecord"
    for ours, raw in zip(records.read(path), tf.data.TFRecordDataset(str(path)), strict=True):
        theirs = tf.train.Example.FromString(raw.numpy()).features.feature
        assert set(ours) == set(theirs)
        assert ours["image"] == theirs["image"].bytes_list.value[0]
        np.testing.assert_array_equal(ours["points"], np.float32(theirs["points"].float_list.value))
        np.testing.assert_array_equal(ours["span"], theirs["span"].int64_list.value)


def test_a_cut_file_is_an_error(data: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tfrecord"
    cut.write_bytes((data / "train.tfrecord").read_bytes()[:-3])
    with pytest.raises(ValueError, match="ends within a record"):
        list(records.read(cut))


def test_signed_whole_numbers_come_back(tmp_path: Path) -> None:
    values = np.array([-3, 0, 2**40, -(2**63)])
    records.write(tmp_path / "a.tfrecord", [{"n": values}])
    np.testing.assert_array_equal(next(records.read(tmp_path / "a.tfrecord"))["n"], values)


def test_a_net_may_begin_with_the_mean_face(data: Path) -> None:
    net = Small.build()
    images, truth = batches.plain(crops.load(data / "train.tfrecord"), SETTINGS.size)
    begin_at(net, truth.mean(axis=0))
    found = net.predict(images, verbose=0)
    np.testing.assert_allclose(found, np.repeat(truth.mean(axis=0)[None], len(truth), axis=0), atol=1e-6)


@pytest.mark.usefixtures("without_curves")
def test_a_run_begins_there_where_it_is_asked_to(data: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "warmup_epochs": 0.0, "epochs": 1}
    how = {"choose_by": "validation_error", "begin_at_mean": True, "augment": Augmentation()}
    begun = train(Small, SETTINGS.model_copy(update=still | how), data, tmp_path).best
    mean = np.nanmean(batches.plain(crops.load(data / "train.tfrecord"), SETTINGS.size)[1], axis=0)
    _, truth = batches.plain(crops.load(data / "validation.tfrecord"), SETTINGS.size)
    pixels, wanted = (batches.from_unit(unit, SETTINGS.size) for unit in (np.tile(mean, (4, 1)), truth))
    assert begun == pytest.approx(float(nme(pixels, wanted, "ibug68").mean()), rel=1e-3)
    assert begun < untrained(Small.build(), data)["validation_error"]


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    source = batches.Batches(faces(10, 0), SETTINGS)
    first, again = list(source.epoch(3)), list(source.epoch(3))
    assert len(first) == 2
    for (a, p), (b, q) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(p, q)
    assert not np.array_equal(first[0][0], next(source.epoch(4))[0])


def test_units_are_those_of_the_served_net() -> None:
    corner = np.array([[[-0.5, 127.5]]], np.float32)
    np.testing.assert_allclose(batches.to_unit(corner, 128), [[0, 1]])
    np.testing.assert_allclose(batches.from_unit(batches.to_unit(corner, 128), 128), corner)


def test_a_run_learns(whole: Whole, data: Path) -> None:
    keras.utils.set_random_seed(SETTINGS.seed)
    before = untrained(Small.build(), data)
    after = whole.progress.rows[-1]
    for measure in ("validation_loss", "validation_error", "validation_rmse"):
        assert after[measure] < 0.99 * before[measure]


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: Whole, data: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logbook.Logbook, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Small, SETTINGS, data, tmp_path)
    resumed = train(Small, SETTINGS, data, tmp_path, resume=True)
    assert untimed(whole.progress) == untimed(resumed)
    assert (whole.progress.best, whole.progress.best_epoch) == (resumed.best, resumed.best_epoch)
    with np.load(whole.folder / "checkpoint.npz") as a, np.load(tmp_path / "checkpoint.npz") as b:
        for name in a.files:
            if name != "progress":
                np.testing.assert_array_equal(a[name], b[name])


def test_a_run_leaves_what_export_needs(whole: Whole) -> None:
    facts = json.loads((whole.folder / "run.json").read_text())
    assert facts["config"] == SETTINGS.model_dump()
    assert facts["faces"] == {"train": 10, "validation": 4}
    assert facts["epochs"] == 3
    assert config.config_of(whole.folder) == SETTINGS
    assert (whole.folder / "curves.png").stat().st_size > 1000
    net = Small.build()
    net.load_weights(whole.folder / "best.weights.h5")


def test_the_best_weights_are_those_of_the_chosen_measure(whole: Whole) -> None:
    values = [row["validation_rmse"] for row in whole.progress.rows]
    assert whole.progress.best == min(values)
    assert json.loads((whole.folder / "run.json").read_text())["best_validation_rmse"] == min(values)


def test_a_finished_run_is_not_overwritten(whole: Whole, data: Path) -> None:
    with pytest.raises(FileExistsError, match="--resume"):
        train(Small, SETTINGS, data, whole.folder)


def test_a_run_goes_on_with_its_own_data_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"data": {"sha256": "another"}}))
    with pytest.raises(ValueError, match="other data"):
        train(Small, SETTINGS, data, tmp_path, resume=True)


def test_an_unknown_run_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="cnn68"):
        config.find("nothing")
    assert config.find("cnn68").CONFIG.name == "cnn68"


def test_a_run_of_before_has_todays_defaults() -> None:
    record = json.loads(Path("training/records/cnn68/run.json").read_text())["config"]
    settings = TrainConfig.model_validate(record)
    assert (settings.choose_by, settings.patience, settings.backbone) == ("validation_error", 0, "")


def test_rmse_is_in_pixels_of_the_nets_picture(whole: Whole) -> None:
    row = whole.progress.rows[0]
    assert row["validation_rmse"] == pytest.approx(32 * row["validation_loss"] ** 0.5, rel=1e-4)


class WithBackbone(Small):
    """A run whose net has a layer to begin with other weights."""

    CONFIG = SETTINGS.model_copy(update={"backbone": "random"})

    @staticmethod
    def build() -> keras.Model:
        image = keras.Input((32, 32, 3))
        inner = keras.Input((32, 32, 3))
        backbone = keras.Model(inner, layers.Conv2D(2, 5)(inner), name="backbone")
        return keras.Model(image, layers.Dense(136)(layers.Flatten()(backbone(image))))


def test_a_backbone_begins_with_a_files_weights(tmp_path: Path) -> None:
    path = tmp_path / "some.weights.h5"
    wanted = WithBackbone.build().get_layer("backbone")
    wanted.save_weights(path)
    run = pretrained(WithBackbone, path)
    found = run.build().get_layer("backbone")
    np.testing.assert_array_equal(found.get_weights()[0], wanted.get_weights()[0])
    assert run.CONFIG.backbone == hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_for_a_net_without_a_backbone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cnn68 has no backbone"):
        pretrained(Small, tmp_path / "some.h5")
