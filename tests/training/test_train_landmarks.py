"""A few steps on synthetic faces: what a run leaves, and a resumed run that equals an unbroken one."""

import csv
import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from training import config, logbook
from training.checkpoint import Progress
from training.config import Augmentation, TrainConfig, pretrained
from training.data import batches, crops, records
from training.metrics import nme
from training.schedule import over
from training.train_landmarks import begin_at, train

SETTINGS = TrainConfig(
    name="cnn68",
    size=32,
    template="face",
    scheme="ibug68",
    loss="mean_squared",
    epochs=4,
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


def test_a_run_begins_there_where_it_is_asked_to(data: Path, tmp_path: Path) -> None:
    still = SETTINGS.model_copy(update={"learning_rate": 1e-12, "final_learning_rate": 1e-12, "epochs": 1})
    still = still.model_copy(update={"warmup_epochs": 0.0, "augment": Augmentation()})
    errors = [
        train(Small, still.model_copy(update={"begin_at_mean": mean}), data, tmp_path / str(mean)).best
        for mean in (False, True)
    ]
    mean = np.nanmean(batches.plain(crops.load(data / "train.tfrecord"), SETTINGS.size)[1], axis=0)
    _, truth = batches.plain(crops.load(data / "validation.tfrecord"), SETTINGS.size)
    pixels, wanted = (batches.from_unit(unit, SETTINGS.size) for unit in (np.tile(mean, (4, 1)), truth))
    assert errors[1] == pytest.approx(float(nme(pixels, wanted, "ibug68").mean()), rel=1e-3)
    assert errors[0] > errors[1]


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


def test_a_resumed_run_equals_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    whole = train(Small, SETTINGS, data, tmp_path / "whole")
    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logbook.Logbook, "write", interrupted_after(2))
        with pytest.raises(KeyboardInterrupt):
            train(Small, SETTINGS, data, broken)
    resumed = train(Small, SETTINGS, data, broken, resume=True)
    assert [untimed(row) for row in whole.rows] == [untimed(row) for row in resumed.rows]
    assert (whole.best, whole.best_epoch) == (resumed.best, resumed.best_epoch)
    with np.load(tmp_path / "whole/checkpoint.npz") as a, np.load(broken / "checkpoint.npz") as b:
        for name in a.files:
            if name != "progress":
                np.testing.assert_array_equal(a[name], b[name])


def untimed(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}


def interrupted_after(epochs: int):  # type: ignore[no-untyped-def] # stands in for a method, whatever its arguments
    """A `Logbook.write` that stops the run there, as a user's Ctrl-C would."""
    write = logbook.Logbook.write

    def stop(self: logbook.Logbook, rows: list[dict[str, float]], facts: dict[str, object]) -> None:
        write(self, rows, facts)
        if len(rows) == epochs:
            raise KeyboardInterrupt

    return stop


def test_a_run_leaves_its_books(data: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2, "validate_every": 2})
    train(Small, settings, data, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["validation_error"] == ""
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == settings.model_dump()
    assert facts["epochs"] == facts["best_epoch"] == 2
    assert config.config_of(tmp_path) == settings
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert list((tmp_path / "tensorboard").iterdir())
    net = Small.build()
    net.load_weights(tmp_path / "best.weights.h5")


def test_a_finished_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    train(Small, settings, data, tmp_path)
    with pytest.raises(FileExistsError, match="--resume"):
        train(Small, settings, data, tmp_path)


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


@pytest.mark.parametrize(
    ("epoch", "best", "ends"), [(3, 1, False), (4, 1, True), (4, 2, False), (9, 8, False), (10, 10, True)]
)
def test_a_run_ends_with_its_epochs_or_its_patience(epoch: int, best: int, ends: bool) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 10, "patience": 3})
    assert over(Progress(epoch=epoch, best_epoch=best), settings) is ends
    patient = settings.model_copy(update={"patience": 0})
    assert over(Progress(epoch=epoch, best_epoch=best), patient) is (epoch == 10)


def test_a_run_without_betterment_stops(data: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "warmup_epochs": 0, "ema": 0}
    settings = SETTINGS.model_copy(update={**still, "epochs": 9, "patience": 2})
    assert train(Small, settings, data, tmp_path).epoch == 3
    assert train(Small, settings, data, tmp_path, resume=True).epoch == 3


@pytest.mark.parametrize("choice", ["validation_error", "validation_loss", "validation_rmse"])
def test_the_best_weights_are_those_of_the_chosen_measure(
    data: Path, tmp_path: Path, choice: config.Choice
) -> None:
    settings = SETTINGS.model_copy(update={"choose_by": choice})
    progress = train(Small, settings, data, tmp_path)
    values = [row[choice] for row in progress.rows]
    assert progress.best == min(values)
    assert progress.best_epoch == 1 + values.index(min(values))
    assert json.loads((tmp_path / "run.json").read_text())[f"best_{choice}"] == min(values)


def test_rmse_is_in_pixels_of_the_nets_picture(data: Path, tmp_path: Path) -> None:
    row = train(Small, SETTINGS.model_copy(update={"epochs": 1}), data, tmp_path).rows[0]
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
