import keras
import numpy as np
import pytest

from training.models import mtcnn
from training.models.mtcnn_serving import serve


def randomised(net: keras.Model) -> keras.Model:
    """Set random weights: scores away from 0 and 1, slopes of both signs."""
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(0, 0.6 / np.sqrt(max(1, np.prod(w.shape[:-1]))), w.shape).astype(np.float32)
        for w in net.get_weights()
    ]
    net.set_weights(weights)
    return net


def assert_same(outputs: np.ndarray, expected: np.ndarray) -> None:
    assert outputs.shape == expected.shape
    assert np.ptp(expected) > 1e-4
    assert np.abs(outputs - expected).max() < 0.02 * np.ptp(expected)


def normalised(image: np.ndarray) -> np.ndarray:
    return (image - mtcnn.MEAN) * mtcnn.SCALE


def test_the_nets_have_the_sizes_of_the_paper() -> None:
    sizes = [net.count_params() for net in (mtcnn.pnet(), mtcnn.rnet(), mtcnn.onet())]
    assert sizes == [6_632, 100_178, 389_040]


def test_the_served_pnet_equals_the_plain_one() -> None:
    plain = randomised(mtcnn.pnet())
    image = np.random.default_rng(1).uniform(0, 255, (2, 40, 64, 3)).astype(np.float32)
    offsets, score = (np.asarray(out) for out in plain(normalised(image)))
    served = serve(plain)(image)
    assert_same(np.asarray(served["offsets"]), offsets)
    assert_same(np.asarray(served["score"]), score[..., 1])
    assert served["score"].shape == (2, 15, 27)


@pytest.mark.parametrize(("build", "side"), [(mtcnn.rnet, 24), (mtcnn.onet, 48)])
def test_the_served_crop_nets_equal_the_plain_ones(build: type[keras.Model], side: int) -> None:
    plain = randomised(build())
    image = np.random.default_rng(1).uniform(0, 255, (3, side, side, 3)).astype(np.float32)
    image *= np.array([0.2, 0.6, 1.0], np.float32).reshape(3, 1, 1, 1)
    offsets, *rest = (np.asarray(out) for out in plain(normalised(image)))
    served = {name: np.asarray(out) for name, out in serve(plain)(image).items()}
    assert_same(served["offsets"], offsets)
    assert_same(served["score"], rest[-1][:, 1])
    if len(rest) == 2:
        points = served["points"].reshape(3, 5, 2)
        assert_same(points[..., 0], rest[0][:, :5])
        assert_same(points[..., 1], rest[0][:, 5:])
