"""Training of landmark nets: a few steps of a small net on synthetic faces."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from tests.training.landmark_sets import synthetic_faces, write_prepared
from tests.training.runs import FinishedRun, assert_same_run, interrupted_after
from training.config import registry
from training.config.registry import RunError
from training.config.schema import Augmentation, LandmarkConfig
from training.data.batches.landmarks import from_unit, served_crops
from training.data.storage import landmark_crops
from training.engine import checkpoints, run_log
from training.engine.landmark_job import check_suitable, init_output_bias, train, validate
from training.metrics.landmarks import nme

CONFIG = LandmarkConfig(
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

    CONFIG = CONFIG

    @staticmethod
    def build() -> keras.Model:
        image = keras.Input((32, 32, 3))
        x = layers.Rescaling(1 / 127.5, offset=-1)(image)
        x = layers.Flatten()(layers.Conv2D(4, 5, strides=4, activation="relu")(x))
        return keras.Model(image, layers.Dense(136)(layers.Dropout(0.2)(x)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data"), synthetic_faces(10, 0), synthetic_faces(4, 1))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return FinishedRun(train(Small, CONFIG, data, folder), folder)


def untrained(net: keras.Model, data: Path) -> dict[str, float]:
    """Return the metrics of a net before any training."""
    images, labels = served_crops(landmark_crops.load(data / "validation.tfrecord"), CONFIG.size)
    return validate(net, images, labels, CONFIG)


def test_a_net_can_start_with_the_mean_face(data: Path) -> None:
    net = Small.build()
    images, labels = served_crops(landmark_crops.load(data / "train.tfrecord"), CONFIG.size)
    init_output_bias(net, labels.mean(axis=0))
    outputs = net.predict(images, verbose=0)
    np.testing.assert_allclose(outputs, np.repeat(labels.mean(axis=0)[None], len(labels), axis=0), atol=1e-6)


def test_a_run_writes_the_layers_and_the_mean_absolute_error(whole: FinishedRun) -> None:
    text = (whole.folder / "summary.txt").read_text()
    assert "Conv2D" in text
    assert f"Trainable params: {Small.build().count_params():,}" in text
    last = whole.progress.rows[-1]
    assert 0 < last["validation_mae"] < last["validation_rmse"]


@pytest.mark.usefixtures("without_curves")
def test_a_run_starts_with_the_mean_face_if_its_config_says_so(data: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "warmup_epochs": 0.0, "epochs": 1}
    mean_face = {"choose_by": "validation_error", "init_output_bias": True, "augment": Augmentation()}
    first = train(Small, CONFIG.model_copy(update=still | mean_face), data, tmp_path).best
    mean = np.nanmean(served_crops(landmark_crops.load(data / "train.tfrecord"), CONFIG.size)[1], axis=0)
    _, labels = served_crops(landmark_crops.load(data / "validation.tfrecord"), CONFIG.size)
    outputs, expected = (from_unit(unit, CONFIG.size) for unit in (np.tile(mean, (4, 1)), labels))
    assert first == pytest.approx(float(nme(outputs, expected, "ibug68").mean()), rel=1e-3)
    assert first < untrained(Small.build(), data)["validation_error"]


@pytest.mark.usefixtures("without_curves")
def test_a_run_starts_from_the_best_weights_of_another(data: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    other = Small.build()
    (tmp_path / "other").mkdir()
    checkpoints.save_weights(tmp_path / "other" / registry.BEST_WEIGHTS, other)
    still = {"learning_rate": 1e-12, "final_learning_rate": 1e-12, "warmup_epochs": 0.0, "epochs": 1}
    config = CONFIG.model_copy(update=still | {"start_from": "other"})
    progress = train(Small, config, data, tmp_path / "run")
    assert progress.best == pytest.approx(untrained(other, data)["validation_rmse"], rel=1e-5)
    facts = json.loads((tmp_path / "run" / registry.RUN_FILE).read_text())
    assert facts["start"] == {"sources": [], "people": None, "unknown_start": "other"}
    with pytest.raises(RunError, match=r"training\.train RUN --name none --data DATA`\), or name another"):
        train(Small, CONFIG.model_copy(update={"start_from": "none"}), data, tmp_path / "second")


def test_a_run_learns(whole: FinishedRun, data: Path) -> None:
    keras.utils.set_random_seed(CONFIG.seed)
    before = untrained(Small.build(), data)
    after = whole.progress.rows[-1]
    for metric in ("validation_loss", "validation_error", "validation_rmse"):
        assert after[metric] < 0.99 * before[metric]


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: FinishedRun, data: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_log.RunLog, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Small, CONFIG, data, tmp_path)
    assert_same_run(whole, FinishedRun(train(Small, CONFIG, data, tmp_path, resume=True), tmp_path))


def test_a_run_writes_what_export_needs(whole: FinishedRun) -> None:
    facts = json.loads((whole.folder / "run.json").read_text())
    assert (facts["config"], facts["module"]) == (CONFIG.model_dump(), Small.CONFIG.name)
    assert facts["faces"] == {"train": 10, "validation": 4}
    assert facts["epochs"] == 3
    assert registry.config_of(whole.folder, LandmarkConfig) == CONFIG
    assert (whole.folder / "curves.png").stat().st_size > 1000
    net = Small.build()
    net.load_weights(whole.folder / "best.weights.h5")


def test_the_chosen_metric_selects_the_best_weights(whole: FinishedRun) -> None:
    values = [row["validation_rmse"] for row in whole.progress.rows]
    assert whole.progress.best == min(values)
    assert json.loads((whole.folder / "run.json").read_text())["best_validation_rmse"] == min(values)


def test_a_finished_run_is_not_overwritten(whole: FinishedRun, data: Path) -> None:
    with pytest.raises(RunError, match="--resume"):
        train(Small, CONFIG, data, whole.folder)


def test_a_run_is_not_resumed_on_other_data(data: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.npz").touch()
    (tmp_path / "run.json").write_text(json.dumps({"config": {}, "data": {"sha256": "another"}}))
    with pytest.raises(RunError, match="other data"):
        train(Small, CONFIG, data, tmp_path, resume=True)


def test_the_rmse_is_in_pixels_of_the_input(whole: FinishedRun) -> None:
    row = whole.progress.rows[0]
    assert row["validation_rmse"] == pytest.approx(32 * row["validation_loss"] ** 0.5, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "crop", "message"),
    [
        ({"scheme": "kaggle15"}, "face", r"holds faces with 68 points, and cnn68 needs 15 \(kaggle15\)"),
        ({}, "picture", "cnn68 needs crops that are prepared with --crop face"),
        ({"template": "kaggle15"}, "face", "cnn68 needs crops that are prepared with --crop picture"),
    ],
)
def test_faces_that_do_not_suit_the_net_are_refused(
    changes: dict[str, str], crop: str, message: str, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update=changes)
    with pytest.raises(RunError, match=message):
        check_suitable(synthetic_faces(2, 0), {"crop": {"template": crop}}, config, tmp_path)


def test_faces_that_suit_the_net_are_accepted(tmp_path: Path) -> None:
    check_suitable(synthetic_faces(2, 0), {"crop": {"template": "face"}}, CONFIG, tmp_path)
    whole = CONFIG.model_copy(update={"template": "kaggle15"})
    check_suitable(synthetic_faces(2, 0), {"crop": {"template": "picture"}}, whole, tmp_path)


def test_a_mean_face_needs_a_dense_layer_at_the_end() -> None:
    image = keras.Input((4, 4, 3))
    with pytest.raises(RunError, match="--set init_output_bias=false"):
        init_output_bias(keras.Model(image, layers.Flatten()(image)), np.zeros(48, np.float32))
