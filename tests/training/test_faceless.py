import numpy as np

from training.data import faceless


def test_one_seed_is_one_set_and_kinds_take_turns() -> None:
    first, again = list(faceless.pictures(4)), list(faceless.pictures(4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other = next(faceless.pictures(1, seed=1))
    assert other.shape != first[0].shape or not np.array_equal(other, first[0])


def test_every_kind_makes_a_picture_of_the_asked_size() -> None:
    for i, kind in enumerate(faceless.KINDS):
        image = kind(np.random.default_rng(i), 321, 400)
        assert image.shape == (400, 321, 3)
        assert image.dtype == np.uint8
        assert np.ptp(image) > 10
