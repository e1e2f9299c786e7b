"""B-cubed precision and recall, against a plain implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics.clusters import bcubed

GROUPS = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=30)


def test_an_example() -> None:
    found = bcubed(np.array([0, 0, 0, 1, 1, -1]), np.array([7, 7, 8, 8, 8, 7]))
    assert found.precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1 + 1) / 6)
    assert found.recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 2 / 3 + 2 / 3 + 1 / 3) / 6)
    assert found.f == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))


@given(GROUPS)
def test_it_is_the_mean_over_the_faces(groups: list[tuple[int, int]]) -> None:
    named = [(cluster if cluster >= 0 else -1 - i, person) for i, (cluster, person) in enumerate(groups)]
    together = [sum(other == face for other in named) for face in named]
    clusters = [sum(other[0] == face[0] for other in named) for face in named]
    people = [sum(other[1] == face[1] for other in named) for face in named]
    found = bcubed(*map(np.array, zip(*groups, strict=True)))
    assert found.precision == pytest.approx(np.mean([t / c for t, c in zip(together, clusters, strict=True)]))
    assert found.recall == pytest.approx(np.mean([t / p for t, p in zip(together, people, strict=True)]))
