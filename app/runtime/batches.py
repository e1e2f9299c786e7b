"""Batches: how items are divided into calls of a net, and how the outputs are put together again."""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray


def split_batches(n: int, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Divide n items into batches of the allowed sizes, greedily; the last one may be padded.

    The rest takes the smallest size that holds it if it fills at least half of it, else the largest size
    below it.

    Args:
        n: number of items.
        sizes: allowed batch sizes, ascending.

    Returns:
        `(start, count, padded size)` per batch.
    """
    out = []
    start = 0
    while start < n:
        left = n - start
        fitting = [s for s in sizes if s <= left]
        above = [s for s in sizes if s >= left]
        size = fitting[-1] if fitting else sizes[0]
        if above and above[0] <= 2 * left:
            size = above[0]
        out.append((start, min(size, left), size))
        start += size
    return out


def even_size(n: int, largest: int, slots: int) -> int:
    """Return the batch size, at most `largest`, that divides n items evenly among slots; n for one slot."""
    if slots == 1:
        return n
    rounds = -(-n // (largest * slots))
    return -(-n // (rounds * slots))


def concatenate_outputs(parts: Sequence[Sequence[ndarray]]) -> list[ndarray]:
    """Concatenate each output of several calls along the batch axis."""
    columns = zip(*parts, strict=True)
    return [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]
