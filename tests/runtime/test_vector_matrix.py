"""The matrix of the gallery: growth, removal, erasure, and the order of the threads that use it."""

import threading

import numpy as np
import pytest
from numpy import ndarray

from app.errors import OutOfMemory
from app.runtime.device import Device
from app.runtime.device_rows import DeviceRows
from app.runtime.vector_matrix import Block, VectorMatrix

CPU = Device("cpu")


def rows(n: int, seed: int = 0, dimension: int = 4) -> tuple[ndarray, ndarray]:
    """Return n vectors, and the keys (10 i, i) for each."""
    vectors = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    return vectors, np.arange(n)[:, None] * [10, 1]


def contents(matrix: VectorMatrix) -> tuple[ndarray, ndarray]:
    """Return the vectors and the keys in use."""
    vectors = [block.vectors[: block.rows] for block in matrix.blocks]
    keys = [block.keys[: block.rows] for block in matrix.blocks]
    return np.concatenate(vectors), np.concatenate(keys)


def is_erased(block: Block) -> bool:
    """Return whether a block has no vector and no key."""
    return not block.vectors.any() and not block.keys.any()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_rows_fill_blocks_and_little_memory_is_unused(batch: int) -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=600)
    vectors, keys = rows(2000)
    for start in range(0, 2000, batch):
        matrix.append(vectors[start : start + batch], keys[start : start + batch])
        capacity = sum(block.capacity for block in matrix.blocks)
        assert capacity <= max(256, 1.5 * len(matrix) + 1)
        assert all(block.rows == block.capacity == 600 for block in matrix.blocks[:-1])
    assert len(matrix) == 2000
    assert [a.tolist() for a in contents(matrix)] == [vectors.tolist(), keys.tolist()]


def test_a_block_that_has_grown_leaves_nothing_behind() -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=10_000)
    matrix.append(*rows(256))
    small = matrix.blocks[0]
    matrix.append(*rows(1, seed=1))
    assert matrix.blocks[0] is not small
    assert is_erased(small)


def test_the_last_row_takes_the_place_of_a_removed_one() -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=3)
    vectors, keys = rows(7)
    matrix.append(vectors, keys)
    blocks = list(matrix.blocks)
    moved = matrix.remove(1)
    assert moved is not None
    assert moved.tolist() == [60, 6]
    assert matrix.remove(5) is None
    expected = [0, 6, 2, 3, 4]
    assert [a.tolist() for a in contents(matrix)] == [vectors[expected].tolist(), keys[expected].tolist()]
    assert [block.rows for block in matrix.blocks] == [3, 2]
    assert is_erased(blocks[2])
    assert vectors[5].tobytes() not in blocks[1].vectors.tobytes()
    assert vectors[1].tobytes() not in b"".join(block.vectors.tobytes() for block in blocks)


def test_nothing_is_left_of_a_cleared_matrix() -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=3)
    matrix.append(*rows(7))
    blocks = list(matrix.blocks)
    matrix.clear()
    assert len(matrix) == 0
    assert all(is_erased(block) for block in blocks)


def test_products_are_those_of_float64() -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=900)
    vectors, keys = rows(2000)
    matrix.append(vectors, keys)
    some = np.random.default_rng(1).integers(0, 2000, (3, 1500))
    queries = vectors[:3]
    exact = np.einsum("mkd,md->mk", vectors[some].astype(np.float64), queries.astype(np.float64))
    np.testing.assert_allclose(matrix.similarities(some, queries), exact, atol=1e-15)
    assert matrix.gather_keys(some).tolist() == keys[some].tolist()


def test_a_thread_that_waits_comes_before_one_that_returns() -> None:
    matrix = VectorMatrix(4, 2, CPU)
    order = []
    waits = threading.Event()

    def wait() -> None:
        waits.set()
        with matrix.changing():
            order.append("waiting")

    thread = threading.Thread(target=wait)
    with matrix.exclusive():
        thread.start()
        assert waits.wait(30)
        thread.join(0.1)  # it reaches the lock
    with matrix.exclusive():
        order.append("returning")
    thread.join(30)
    assert order == ["waiting", "returning"]


class Copy(DeviceRows):
    """A copy of rows in the memory of a device, for which the CPU stands in."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__(shape, CPU)
        self.stored: list[ndarray] = []

    def store(self, rows: ndarray) -> None:
        """Record what the device holds."""
        super().store(rows)
        self.stored.append(rows.copy())


def test_the_copy_on_the_device_follows_changes_and_is_erased() -> None:
    matrix = VectorMatrix(4, 2, CPU, block_rows=3)
    vectors, keys = rows(5)
    matrix.append(vectors, keys)
    copies = [Copy(block.vectors.shape) for block in matrix.blocks]
    for block, copy in zip(matrix.blocks, copies, strict=True):
        block.on_device, block.current = copy, False
    with matrix.changing():
        pass
    assert [copy.stored[-1].tolist() for copy in copies] == [b.vectors.tolist() for b in matrix.blocks]
    with matrix.changing():
        matrix.remove(4)
    assert [len(copy.stored) for copy in copies] == [1, 2]
    assert vectors[4].tobytes() not in copies[1].stored[-1].tobytes()
    with matrix.changing():
        matrix.overwrite(0, vectors[4], keys[4])
    assert [len(copy.stored) for copy in copies] == [2, 2]
    with matrix.changing():
        matrix.clear()
    assert not any(copy.stored[-1].any() for copy in copies)


class SmallMatrix(VectorMatrix):
    """A matrix without memory for a third block."""

    def _block_with_room(self, wanted: int) -> Block:
        if len(self) >= 6:
            raise OutOfMemory("no memory")
        return super()._block_with_room(wanted)


def test_without_memory_for_all_rows_none_is_appended() -> None:
    matrix = SmallMatrix(4, 2, CPU, block_rows=3)
    matrix.append(*rows(2))
    with pytest.raises(OutOfMemory):
        matrix.append(*rows(5, seed=1))
    assert [a.tolist() for a in contents(matrix)] == [a.tolist() for a in rows(2)]
    assert not matrix.blocks[0].vectors[2:].any()
