import numpy as np

from training.data.datasets import synthetic_negatives


def test_the_set_depends_on_the_seed_alone() -> None:
    first, again = list(synthetic_negatives.images(4)), list(synthetic_negatives.images(4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other = next(synthetic_negatives.images(1, seed=1))
    assert other.shape != first[0].shape or not np.array_equal(other, first[0])


def test_each_kind_has_the_requested_size_and_is_not_plain() -> None:
    for i, kind in enumerate(synthetic_negatives.KINDS):
        image = kind(np.random.default_rng(i), 321, 400)
        assert image.shape == (400, 321, 3)
        assert image.dtype == np.uint8
        assert np.ptp(image) > 10
