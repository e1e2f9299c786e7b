"""The nets of the cascade and their served forms."""

import numpy as np
import pytest

from tests.training.finished_runs import randomise_statistics
from training.models.cascade import onet, pnet, rnet, serve
from training.models.mtcnn_trainable import trainable


def test_the_served_pnet_is_the_same_function() -> None:
    net = randomise_statistics(pnet())
    image = np.random.default_rng(1).uniform(0, 255, (2, 40, 64, 3)).astype(np.float32)
    expected = np.asarray(net(image))
    served = serve(net)(image)
    assert expected.shape == (2, 13, 25, 5)  # a window of 16, stride 2
    scale = np.ptp(expected)
    assert np.abs(np.asarray(served["offsets"]) - expected[..., 1:]).max() < 1e-4 * scale
    score = 1 / (1 + np.exp(-expected[..., 0]))
    assert np.abs(np.asarray(served["score"]) - score).max() < 1e-4
    assert np.ptp(score) > 1e-3


@pytest.mark.parametrize(("build", "size", "outputs"), [(rnet, 24, 5), (onet, 64, 15)])
def test_the_served_crop_nets_name_their_outputs(build, size: int, outputs: int) -> None:  # type: ignore[no-untyped-def] # a builder of nets
    net = randomise_statistics(build())
    crops = np.random.default_rng(1).uniform(0, 255, (3, size, size, 3)).astype(np.float32)
    expected = np.asarray(net(crops))
    served = serve(net)(crops)
    assert expected.shape == (3, outputs)
    np.testing.assert_allclose(served["offsets"], expected[:, 1:5], rtol=1e-5)
    np.testing.assert_allclose(served["score"], 1 / (1 + np.exp(-expected[:, 0])), rtol=1e-4)
    if outputs == 15:
        np.testing.assert_allclose(served["points"], expected[:, 5:], rtol=1e-5)


@pytest.mark.parametrize(("stage", "outputs"), [("rnet", 5), ("onet", 15)])
def test_the_published_nets_are_trained_with_one_head(stage: str, outputs: int) -> None:
    assert trainable(stage).output_shape == (None, outputs)
