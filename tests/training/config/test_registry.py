"""Runs by name, and the configuration and weights of finished runs."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from training.config.registry import (
    BEST_WEIGHTS,
    RUN_FILE,
    Run,
    RunError,
    UnknownRun,
    build_trained,
    config_of,
    find,
    module_of,
    with_pretrained_backbone,
)
from training.config.schema import EmbeddingConfig, LandmarkConfig, RunConfig, StageConfig
from training.engine import checkpoints

NAMES = sorted(path.stem for path in Path("training/configs").glob("*.py") if path.stem != "__init__")
KINDS: list[type[RunConfig]] = [LandmarkConfig, EmbeddingConfig, StageConfig]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_the_name_of_its_module_and_is_of_one_kind(name: str) -> None:
    run: Run = find(name)
    assert run.CONFIG.name == name
    assert [isinstance(run.CONFIG, kind) for kind in KINDS].count(True) == 1


@pytest.mark.parametrize("name", ["softmax", "centerloss", "triplet", "siamese"])
def test_embedding_runs_build_nets_of_their_own_size(name: str) -> None:
    run = find(name)
    assert isinstance(run.CONFIG, EmbeddingConfig)
    net = run.build()
    assert net.input_shape == (None, run.CONFIG.size, run.CONFIG.size, 3)
    assert net.output_shape == (None, run.CONFIG.dimension)


def test_an_unknown_name_lists_similar_ones() -> None:
    with pytest.raises(UnknownRun, match=r"no run named 'cnn86'\. Similar names are: cnn68"):
        find("cnn86")


@pytest.mark.parametrize("name", ["nothing", "zzz", "__init__", ""])
def test_a_name_that_is_like_no_other_lists_all(name: str) -> None:
    with pytest.raises(UnknownRun, match=r"The runs are: cascade_onet, .*, cnn68, .*, triplet_scratch\."):
        find(name)


def write_run(folder: Path, config: RunConfig) -> Path:
    (folder / RUN_FILE).write_text(json.dumps({"config": config.model_dump(mode="json")}))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_runs_config_is_read_as_its_own_kind(name: str, tmp_path: Path) -> None:
    config = find(name).CONFIG
    folder = write_run(tmp_path, config)
    assert config_of(folder, RunConfig) == config
    for kind in KINDS:
        if isinstance(config, kind):
            assert config_of(folder, kind) == config
        else:
            with pytest.raises(RunError, match=f"of kind {type(config).__name__}, not {kind.__name__}"):
                config_of(folder, kind)


@pytest.mark.parametrize("record", sorted(Path("training/records").glob("*/run.json")), ids=str)
def test_the_records_are_read(record: Path) -> None:
    config = config_of(record.parent, RunConfig)
    assert type(config) is type(find(record.parent.name).CONFIG)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        config_of(tmp_path, RunConfig)


def test_a_finished_runs_net_has_its_best_weights(tmp_path: Path) -> None:
    run = find("cascade_rnet_scratch")
    net = run.build()
    checkpoints.save_weights(write_run(tmp_path, run.CONFIG) / BEST_WEIGHTS, net)
    for restored, saved in zip(build_trained(tmp_path).get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(restored, saved)


def test_a_run_of_another_name_is_built_by_its_module(tmp_path: Path) -> None:
    run = find("cascade_rnet_scratch")
    config = run.CONFIG.model_copy(update={"name": "mine"})
    facts = {"config": config.model_dump(mode="json"), "module": "cascade_rnet_scratch"}
    (tmp_path / RUN_FILE).write_text(json.dumps(facts))
    net = run.build()
    checkpoints.save_weights(tmp_path / BEST_WEIGHTS, net)
    assert module_of(tmp_path) == "cascade_rnet_scratch"
    assert config_of(tmp_path, RunConfig).name == "mine"
    for restored, saved in zip(build_trained(tmp_path).get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(restored, saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"config": 3}'])
def test_a_damaged_run_file_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_text(text)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        config_of(tmp_path, RunConfig)


def test_an_invalid_configuration_is_an_error(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_text('{"config": {"name": "a"}}')
    with pytest.raises(RunError, match=r"run\.json holds no valid configuration"):
        config_of(tmp_path, RunConfig)


def test_missing_weights_and_those_of_another_net_are_errors(tmp_path: Path) -> None:
    path = write_run(tmp_path, find("cascade_rnet_scratch").CONFIG) / BEST_WEIGHTS
    with pytest.raises(FileNotFoundError, match=r"best\.weights\.h5"):
        build_trained(tmp_path)
    checkpoints.save_weights(path, find("cascade_pnet").build())
    with pytest.raises(RunError, match=r"best\.weights\.h5 holds the weights of another net"):
        build_trained(tmp_path)


def test_damaged_weights_are_an_error(tmp_path: Path) -> None:
    run = find("cascade_rnet_scratch")
    path = write_run(tmp_path, run.CONFIG) / BEST_WEIGHTS
    checkpoints.save_weights(path, run.build())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"best\.weights\.h5 is damaged"):
        build_trained(tmp_path)


class WithBackbone:
    """A run whose net has a layer that can start with other weights."""

    CONFIG = LandmarkConfig.model_validate(find("mobilenet15").CONFIG.model_dump() | {"backbone": "random"})

    @staticmethod
    def build() -> keras.Model:
        image = keras.Input((8, 8, 3))
        inner = keras.Input((8, 8, 3))
        backbone = keras.Model(inner, layers.Conv2D(2, 5)(inner), name="backbone")
        return keras.Model(image, layers.Dense(30)(layers.Flatten()(backbone(image))))


def test_a_backbone_starts_with_the_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "some.weights.h5"
    pretrained = WithBackbone.build().get_layer("backbone")
    pretrained.save_weights(path)
    run = with_pretrained_backbone(WithBackbone(), path)
    backbone = run.build().get_layer("backbone")
    np.testing.assert_array_equal(backbone.get_weights()[0], pretrained.get_weights()[0])
    assert (
        WithBackbone.CONFIG.model_copy(update={"backbone": hashlib.sha256(path.read_bytes()).hexdigest()})
        == run.CONFIG
    )


@pytest.mark.parametrize("name", ["cnn68", "triplet", "cascade_pnet"])
def test_weights_for_a_net_without_a_backbone_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"{name} has no backbone"):
        with_pretrained_backbone(find(name), tmp_path / "some.h5")


def test_a_missing_weights_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"some\.h5"):
        with_pretrained_backbone(WithBackbone(), tmp_path / "some.h5")
