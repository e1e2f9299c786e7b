"""Folders of named runs as training leaves them, with random weights."""

import json
from pathlib import Path

import keras
import numpy as np

from training.config.registry import BEST_WEIGHTS, RUN_FILE, find
from training.config.schema import EmbeddingConfig, RunConfig
from training.engine import checkpoints, embedding_objectives

SHA256 = "0" * 64
PEOPLE = 3
NAMES = {"train": ["set/anna", "set/Bert"], "validation": ["set/cleo"]}
"""The people of the runs."""


def write_run_file(folder: Path, config: RunConfig, sources: list[str]) -> Path:
    """Write the `run.json` of a finished run; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "config": config.model_dump(mode="json"),
        "people": {"train": PEOPLE},
        "data": {"sources": sources, "sha256": SHA256}
        | {split: {"names": names} for split, names in NAMES.items()},
    }
    (folder / RUN_FILE).write_text(json.dumps(facts))
    return folder


def write_finished_run(folder: Path, name: str, sources: list[str]) -> keras.Model:
    """Write a run's `run.json` and its best weights; return the net.

    Args:
        folder: the folder of the run.
        name: a module of `training.configs`.
        sources: the datasets.
    """
    run = find(name)
    keras.utils.set_random_seed(0)
    net = run.build()
    randomise_statistics(net)
    product = net
    if isinstance(run.CONFIG, EmbeddingConfig):
        product = embedding_objectives.build(net, run.CONFIG, PEOPLE).product
    checkpoints.save_weights(write_run_file(folder, run.CONFIG, sources) / BEST_WEIGHTS, product)
    return net


def randomise_statistics(net: keras.Model) -> keras.Model:
    """Give the normalisation layers statistics that change their inputs; return the net."""
    rng = np.random.default_rng(0)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in layer.get_weights()]
            )
    return net
