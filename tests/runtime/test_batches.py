"""How items are divided into calls of a net."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.device import even_size, split_batches
from app.runtime.session import concatenate_outputs


@given(st.integers(0, 500), st.sampled_from([(1, 4, 16, 64), (1,), tuple(range(1, 33)), (4, 16)]))
def test_batches_cover_every_item_once_in_allowed_sizes(n: int, sizes: tuple[int, ...]) -> None:
    plan = split_batches(n, sizes)
    assert [start for start, _, _ in plan] == list(np.cumsum([0, *(c for _, c, _ in plan)])[: len(plan)])
    assert sum(count for _, count, _ in plan) == n
    assert all(size in sizes and 0 < count <= size for _, count, size in plan)


def test_a_half_empty_batch_is_not_padded_further() -> None:
    assert split_batches(5, (1, 4, 16)) == [(0, 4, 4), (4, 1, 1)]
    assert split_batches(9, (1, 4, 16)) == [(0, 9, 16)]
    assert split_batches(3, (1, 4, 16)) == [(0, 3, 4)]


@given(st.integers(1, 2000), st.integers(1, 64), st.integers(2, 32))
def test_slots_get_equal_shares_no_larger_than_the_largest_batch(n: int, largest: int, slots: int) -> None:
    size = even_size(n, largest, slots)
    parts = -(-n // size)
    assert 1 <= size <= largest
    rounds = -(-parts // slots)
    assert rounds == -(-n // (largest * slots))  # no more rounds than the largest batches need
    assert rounds * slots * size - n < rounds * slots  # every slot has work in every round, but for rounding
    assert even_size(n, largest, 1) == n


def test_outputs_of_several_calls_are_joined_by_name_along_the_batch() -> None:
    one, two = [np.array([[1], [2]]), np.array([5, 6])], [np.array([[3]]), np.array([7])]
    points, scores = concatenate_outputs([one, two])
    assert (points.tolist(), scores.tolist()) == ([[1], [2], [3]], [5, 6, 7])
    assert concatenate_outputs([one])[1] is one[1]
