"""Training of embedding nets: runs of a small net on people of one hue each."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.training.identity_sets import (
    IMAGES_PER_PERSON,
    METRIC,
    TRAINING_PEOPLE,
    VALIDATION_PEOPLE,
    VARIANTS,
    Tiny,
    config_with,
    tiny,
    write_prepared,
)
from tests.training.learning import least_move
from tests.training.runs import FinishedRun, assert_same_run, interrupted_after
from training.config import registry
from training.config.registry import BEST_WEIGHTS, RunError
from training.config.schema import EmbeddingConfig
from training.data.batches.embeddings import served_crops
from training.data.storage import identity_crops
from training.engine import embedding_objectives, run_log
from training.engine.embedding_job import VALIDATION_PAIRS, train, validate, validation_pairs

CONFIG = config_with({"center_weight": 0.01})
PEOPLE = {"train": TRAINING_PEOPLE, "validation": VALIDATION_PEOPLE}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return FinishedRun(train(Tiny, CONFIG, data, folder), folder)


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_a_run_learns_and_writes_what_serving_needs(
    changes: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    config = config_with(changes).model_copy(update={"epochs": 16})
    keras.utils.set_random_seed(config.seed)
    unseen = identity_crops.load(data / "validation.tfrecord")
    before = validate(
        embedding_objectives.build(tiny(), config, TRAINING_PEOPLE),
        served_crops(unseen, config.size),
        validation_pairs(unseen),
        16,
    )
    progress = train(Tiny, config, data, tmp_path)
    assert [row["epoch"] for row in progress.rows] == list(range(1, 17))
    assert all(np.isfinite(list(row.values())).all() for row in progress.rows)
    assert progress.best < 0.9 * before["validation_error"]
    assert METRIC[config.objective] in progress.rows[0]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == config.model_dump()
    assert facts["people"] == PEOPLE
    assert registry.config_of(tmp_path, EmbeddingConfig) == config
    objective = embedding_objectives.build(tiny(), config, TRAINING_PEOPLE)
    objective.product.load_weights(tmp_path / BEST_WEIGHTS)


def test_a_run_writes_what_serving_needs(whole: FinishedRun) -> None:
    assert [row["epoch"] for row in whole.progress.rows] == [1, 2]
    assert all(np.isfinite(list(row.values())).all() for row in whole.progress.rows)
    assert "right" in whole.progress.rows[0]
    facts = json.loads((whole.folder / "run.json").read_text())
    assert facts["config"] == CONFIG.model_dump()
    assert facts["people"] == PEOPLE
    assert facts["faces"] == {split: people * IMAGES_PER_PERSON for split, people in PEOPLE.items()}
    assert registry.config_of(whole.folder, EmbeddingConfig) == CONFIG
    assert (whole.folder / "curves.png").stat().st_size > 1000
    keras.utils.set_random_seed(CONFIG.seed)
    untrained, trained = (embedding_objectives.build(tiny(), CONFIG, TRAINING_PEOPLE) for _ in range(2))
    trained.product.load_weights(whole.folder / BEST_WEIGHTS)
    assert least_move(untrained.product, trained.product) > 1e-3


def interrupted_and_resumed(config: EmbeddingConfig, data: Path, folder: Path) -> FinishedRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_log.RunLog, "write", interrupted_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(Tiny, config, data, folder)
    return FinishedRun(train(Tiny, config, data, folder, resume=True), folder)


@pytest.mark.usefixtures("without_curves")
def test_a_resumed_run_equals_an_unbroken_one(whole: FinishedRun, data: Path, tmp_path: Path) -> None:
    assert_same_run(whole, interrupted_and_resumed(CONFIG, data, tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("objective", ["triplet", "siamese"])
def test_a_resumed_run_of_any_objective_equals_an_unbroken_one(
    objective: str, data: Path, tmp_path: Path
) -> None:
    config = config_with({"objective": objective})
    unbroken = FinishedRun(train(Tiny, config, data, tmp_path / "whole"), tmp_path / "whole")
    assert_same_run(unbroken, interrupted_and_resumed(config, data, tmp_path / "broken"))


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("objective", ["triplet", "siamese"])
def test_a_run_of_any_objective_logs_its_metric(objective: str, data: Path, tmp_path: Path) -> None:
    config = config_with({"objective": objective, "epochs": 1, "pairs_per_epoch": 32})
    (row,) = train(Tiny, config, data, tmp_path).rows
    assert list(row) == [
        "epoch", "loss", METRIC[objective], "learning_rate", "validation_error", "validation_auc", "seconds"
    ]  # fmt: skip
    assert np.isfinite(list(row.values())).all()


def test_a_finished_run_is_not_overwritten_nor_resumed_on_other_data(
    whole: FinishedRun, data: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "run")
    with pytest.raises(RunError, match="--resume"):
        train(Tiny, CONFIG, data, folder)
    facts = json.loads((folder / "run.json").read_text())
    facts["data"]["sha256"] = "another"
    (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match="other data"):
        train(Tiny, CONFIG, data, folder, resume=True)


def test_validation_pairs_are_the_same_every_time_and_half_of_them_genuine(data: Path) -> None:
    unseen = identity_crops.load(data / "validation.tfrecord")
    pairs = validation_pairs(unseen)
    np.testing.assert_array_equal(pairs, validation_pairs(unseen))
    assert len(pairs.same) == VALIDATION_PAIRS
    assert pairs.same.mean() == 0.5


def test_faces_below_the_input_of_the_net_name_the_option(data: Path, tmp_path: Path) -> None:
    larger = CONFIG.model_copy(update={"size": 999})
    with pytest.raises(RunError, match=r"pixels, and .* needs 999\. Run .* with --span 999\."):
        train(Tiny, larger, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_curves")
def test_a_run_with_too_few_people_for_a_batch_says_what_to_change(data: Path, tmp_path: Path) -> None:
    config = config_with({"objective": "triplet", "people_per_batch": 11})
    with pytest.raises(RunError, match="Give --set people_per_batch or --set images_per_person"):
        train(Tiny, config, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0], "has 1 people with at most 3 images"),
        ([0, 1, 2], "has 3 people with at most 1 images"),
    ],
)
def test_a_validation_set_without_pairs_of_both_kinds_is_refused(
    labels: list[int], message: str, data: Path
) -> None:
    faces = identity_crops.load(data / "validation.tfrecord")
    few = replace(faces, images=faces.images[:3], labels=np.array(labels, np.int64))
    with pytest.raises(RunError, match=message):
        validation_pairs(few)
