"""The Siamese network: the branch of the tutorial, and two graphs that return what the whole returns."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.spec import EmbedderSpec, HeadSpec
from tests.fakes import COMMON
from tests.training.identity_sets import config_with, tiny
from training.engine import embedding_objectives
from training.exporting.onnx import export, serving_net
from training.models import siamese


def test_the_branch_is_that_of_the_tutorial() -> None:
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


def test_branch_and_head_as_two_graphs_return_the_probability_of_the_whole(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    objective = embedding_objectives.build(tiny(), config_with({"objective": "siamese"}), 3)
    assert objective.head is not None
    common = {"model": "pair", "dimension": 8} | COMMON
    branch = keras.Model(
        objective.embed.input, {"embedding": objective.embed.output, "branch": objective.embed.output}
    )
    head = keras.Model(objective.head.input, {"probability": keras.ops.sigmoid(objective.head.output)})
    spec = EmbedderSpec.model_validate(
        common | {"size": 16, "template": "arcface", "flip_average": False, "metric": "probability"}
    )
    files = tmp_path / "branch.onnx", tmp_path / "head.onnx"
    export(serving_net(branch, "embedding"), spec, files[0], tmp_path / "branch.npz")
    export(head, HeadSpec.model_validate(common), files[1], tmp_path / "head.npz")

    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3), np.uint8)
    left, right = np.arange(3), np.arange(3, 6)
    logits = embedding_objectives.similarities(objective, images, left, right, 8)
    sessions = [OrtSession(file, Device("cpu")) for file in files]
    outputs = sessions[0].run(images)
    assert np.linalg.norm(outputs["embedding"], axis=1) == pytest.approx(1, abs=1e-5)
    pairs = np.stack([outputs["branch"][left], outputs["branch"][right]], axis=1)
    probabilities = sessions[1].run(pairs)["probability"]
    np.testing.assert_allclose(probabilities[:, 0], 1 / (1 + np.exp(-logits)), atol=1e-5)
