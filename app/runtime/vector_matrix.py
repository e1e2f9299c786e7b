"""A matrix of vectors that changes while it is searched."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from app.runtime.device import Device
from app.runtime.device_rows import DeviceRows

BLOCK_ROWS = 65_536
"""Maximum number of rows of a block, which limits what growing copies."""

_FIRST_CAPACITY = 256
"""Capacity of the first block when it is made."""

_GATHERED = 1024
"""Maximum number of vectors per query that are copied at the same time."""


class Block:
    """Consecutive rows of a matrix. Rows that are not in use are zeros.

    Args:
        capacity: number of rows that there is memory for.
        dimension: length of a vector.
        keys: number of keys per row.
        device: the device that searches the rows; on a CPU it reads them where they are.

    Attributes:
        vectors: the vectors (capacity, dimension).
        keys: the keys (capacity, keys).
        rows: number of rows in use.
        on_device: the copy of the vectors on the device; None on a CPU.
        current: whether the copy equals the vectors.
    """

    def __init__(self, capacity: int, dimension: int, keys: int, device: Device) -> None:
        self.vectors = np.zeros((capacity, dimension), np.float32)
        self.keys = np.zeros((capacity, keys), np.int64)
        self.rows = 0
        self.on_device = None if device.on_cpu else DeviceRows((capacity, dimension), device)
        self.current = device.on_cpu

    @property
    def capacity(self) -> int:
        """The number of rows that there is memory for."""
        return len(self.vectors)

    def write(self, row: int, vector: Float32[ndarray, " d"], keys: Int64[ndarray, " c"]) -> None:
        """Overwrite a row."""
        self.vectors[row], self.keys[row] = vector, keys
        self.current = self.on_device is None

    def erase(self, first: int = 0) -> None:
        """Overwrite a row and all that follow with zeros; they are not in use any more."""
        self.vectors[first : self.rows], self.keys[first : self.rows] = 0, 0
        self.rows = min(self.rows, first)
        self.current = self.on_device is None

    def upload(self) -> None:
        """Copy the vectors to the device, if they have changed."""
        if self.on_device is not None and not self.current:
            self.on_device.store(self.vectors)
            self.current = True


class VectorMatrix:
    """Rows of a vector and a few integer keys each, in blocks.

    Only the last block grows, by half of its capacity at most, so that growing copies at most one block and
    the memory is at most 1.5 times that of the rows in use. A removed row is overwritten with zeros.

    Methods other than `len` must be called within `exclusive` or `changing`.

    Args:
        dimension: length of a vector.
        keys: number of keys per row.
        device: the device that searches the matrix.
        block_rows: maximum number of rows of a block.
    """

    def __init__(self, dimension: int, keys: int, device: Device, block_rows: int = BLOCK_ROWS) -> None:
        self.dimension = dimension
        self.key_count = keys
        self.blocks: list[Block] = []
        self._device = device
        self._block_rows = block_rows
        self._rows = 0
        self._next = threading.Lock()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._rows

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep all other threads from the matrix.

        A thread that waits comes before one that has just left, so that searches without a pause do not
        keep changes waiting.
        """
        with self._next:
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep all other threads from the matrix, and copy what was changed to the device at the end."""
        with self.exclusive():
            yield
            self.upload()

    def upload(self) -> None:
        """Copy the changed blocks to the device, so that it has the present rows and no removed ones."""
        for block in self.blocks:
            block.upload()

    def append(self, vectors: Float32[ndarray, "n d"], keys: Int64[ndarray, "n c"]) -> None:
        """Append rows, all or none.

        Raises:
            OutOfMemory: the device does not have enough memory for them.
        """
        before = self._rows
        try:
            self._append(vectors, keys)
        except BaseException:
            while self._rows > before:
                self.remove(self._rows - 1)
            raise

    def _append(self, vectors: ndarray, keys: ndarray) -> None:
        done = 0
        while done < len(vectors):
            block = self._block_with_room(len(vectors) - done)
            count = min(block.capacity - block.rows, len(vectors) - done)
            rows = slice(block.rows, block.rows + count)
            block.vectors[rows], block.keys[rows] = vectors[done : done + count], keys[done : done + count]
            block.rows += count
            block.current = block.on_device is None
            self._rows += count
            done += count

    def _block_with_room(self, wanted: int) -> Block:
        """Return the last block, after it has grown or a new one was made if the last one is full."""
        last = self.blocks[-1] if self.blocks else None
        if last is not None and last.rows < last.capacity:
            return last
        if last is None or last.capacity == self._block_rows:
            usual = self._block_rows // 2 if self.blocks else _FIRST_CAPACITY
            self.blocks.append(self._new_block(usual, wanted))
        else:
            grown = self._new_block(last.capacity * 3 // 2, last.rows + wanted)
            grown.vectors[: last.rows], grown.keys[: last.rows] = last.vectors, last.keys
            grown.rows = last.rows
            self.blocks[-1] = grown
            self._discard(last)
        return self.blocks[-1]

    def _new_block(self, usual: int, wanted: int) -> Block:
        capacity = min(self._block_rows, max(usual, wanted))
        return Block(capacity, self.dimension, self.key_count, self._device)

    def overwrite(self, row: int, vector: Float32[ndarray, " d"], keys: Int64[ndarray, " c"]) -> None:
        """Overwrite a row."""
        block, offset = self._at(row)
        block.write(offset, vector, keys)

    def row_keys(self, row: int) -> Int64[ndarray, " c"]:
        """Return the keys of a row, as a view that may be written to."""
        block, offset = self._at(row)
        return block.keys[offset]

    def remove(self, row: int) -> Int64[ndarray, " c"] | None:
        """Remove a row. The last row takes its place.

        Returns:
            The keys of the row that has moved; None if the last row was removed.
        """
        last, end = self.blocks[-1], self.blocks[-1].rows - 1
        moved = None
        if row != self._rows - 1:
            moved = last.keys[end].copy()
            self.overwrite(row, last.vectors[end], moved)
        last.erase(end)
        self._rows -= 1
        if last.rows == 0:
            self._discard(self.blocks.pop())
        return moved

    def clear(self) -> None:
        """Remove all rows."""
        while self.blocks:
            self._discard(self.blocks.pop())
        self._rows = 0

    def gather_keys(self, rows: Int64[ndarray, "m k"]) -> Int64[ndarray, "m k c"]:
        """Return the keys of rows."""
        out = np.empty((*rows.shape, self.key_count), np.int64)
        for block, here, offsets in self._by_block(rows):
            out[here] = block.keys[offsets]
        return out

    def similarities(
        self, rows: Int64[ndarray, "m k"], queries: Float32[ndarray, "m d"]
    ) -> Float64[ndarray, "m k"]:
        """Return the products of each query with its rows, computed in float64.

        The product of two vectors does not depend on the other rows and queries.
        """
        out = np.empty(rows.shape, np.float64)
        for start in range(0, rows.shape[1], _GATHERED):
            some = rows[:, start : start + _GATHERED]
            vectors = np.empty((*some.shape, self.dimension), np.float32)
            for block, here, offsets in self._by_block(some):
                vectors[here] = block.vectors[offsets]
            products = np.vecdot(vectors, queries[:, None], dtype=np.float64)
            out[:, start : start + _GATHERED] = products
        return out

    def _by_block(self, rows: Int64[ndarray, "m k"]) -> Iterator[tuple[Block, ndarray, ndarray]]:
        """Yield each block that has some of the rows, where it has them, and their offsets in the block."""
        numbers = rows // self._block_rows
        for number, block in enumerate(self.blocks):
            here = numbers == number
            if here.any():
                yield block, here, rows[here] - number * self._block_rows

    def _at(self, row: int) -> tuple[Block, int]:
        number, offset = divmod(row, self._block_rows)
        return self.blocks[number], offset

    @staticmethod
    def _discard(block: Block) -> None:
        block.erase()
        if block.on_device is not None:
            block.on_device.erase()


def firsts(blocks: Sequence[Block]) -> Iterator[tuple[int, Block]]:
    """Yield each block with the number of its first row."""
    first = 0
    for block in blocks:
        yield first, block
        first += block.rows
