"""The search of a matrix of vectors, as a net that a scheduler runs.

The net is one ONNX graph, a product of matrices and a TopK, which `scripts.search_graph` writes. Searches
that wait for the same matrix are merged into one product (`app.runtime.dynamic_batching`), on a CPU too: the
time per query of a product falls with the number of queries, as all of them share the reading of the matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from app.errors import OutOfMemory, is_out_of_memory
from app.runtime.device import GPU_BATCH_SIZES, Device, even_size
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.scheduler import DeviceScheduler
from app.runtime.session import open_session
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.runtime.vector_matrix import Block, VectorMatrix, firsts

GRAPH = Path(__file__).with_name("search.onnx")
"""The file of the graph."""

QUERIES, GALLERY, COUNT = "query_vectors", "gallery_vectors", "top"
PRODUCTS, ROWS = "products", "rows"
"""The inputs and outputs of the graph."""

MAX_QUERIES = GPU_BATCH_SIZES[-1]
"""Maximum number of queries of one product."""

_MAX_RESULTS = 4096
"""Maximum number of rows that one product of several queries returns, which limits the memory for them."""

_MIN_PART_ROWS, _MAX_PART_ROWS = 2048, 16_384
"""Number of rows of a product that runs with one thread on a CPU."""

_FEW_QUERIES = 2
"""Maximum number of queries whose products numpy computes one by one on a CPU.

This takes half of the time of a product of matrices, which first copies the rows into another order.
"""

_UNIT_ROUNDOFF = 2.0**-24
"""The largest relative error of an operation in float32."""


@dataclass(frozen=True)
class _Part:
    """Rows of a block.

    Attributes:
        block: the block.
        first: number of the first row in the matrix.
        start: number of the first row in the block.
        rows: number of rows.
    """

    block: Block
    first: int
    start: int
    rows: int


class SearchSession:
    """The search graph in ONNX Runtime, and the scheduler of all searches.

    One product runs at a time. On a CPU all cores compute it, each of them parts of the rows with one thread:
    a product of several threads would wait for the slowest of them in every block. The schedulers are not
    that of the nets, so that a product does not wait for an image.

    Args:
        device: the device.
        telemetry: receives an event for every product.

    Attributes:
        device: the device.
        scheduler: the scheduler.

    Raises:
        BadModel: the graph cannot be loaded.
        DeviceUnavailable: the device cannot run the graph.
    """

    def __init__(self, device: Device, telemetry: Telemetry = NULL_TELEMETRY) -> None:
        # TensorRT would compile an engine for every number of rows.
        self.device = replace(device, kind="cuda") if device.kind == "tensorrt" else device
        self.scheduler = BatchingScheduler(1, telemetry)
        self._cores = DeviceScheduler(self.device.slots)
        self._session = open_session(GRAPH, self.device, parallel=True)

    def best_rows(
        self, blocks: Sequence[Block], queries: Float32[ndarray, "m d"], count: int
    ) -> tuple[Float32[ndarray, "m k"], Int64[ndarray, "m k"]]:
        """Return rows with their products, among them those with the greatest products for each query.

        Args:
            blocks: the blocks of a matrix; there is at least one.
            queries: the queries.
            count: number of rows that are needed per query.

        Raises:
            OutOfMemory: the device does not have enough memory for the products.
        """
        parts = [part for first, block in firsts(blocks) for part in self._parts(first, block)]

        def search(part: _Part) -> tuple[ndarray, ndarray]:
            products, rows = self._run(part, queries, min(count, part.rows))
            return products, rows + part.first

        try:
            found = self._cores.map(search, parts)
        except Exception as error:  # onnxruntime raises exceptions of many unrelated types
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f"The device does not have enough memory to search the gallery for {len(queries)} faces "
                    "at once. Try again in a moment."
                ) from error
            raise
        products, rows = zip(*found, strict=True)
        return np.concatenate(products, axis=1), np.concatenate(rows, axis=1)

    def _parts(self, first: int, block: Block) -> list[_Part]:
        """Return the parts of a block whose first row has this number: one on a GPU."""
        size = block.rows
        if block.on_device is None:
            size = max(_MIN_PART_ROWS, even_size(block.rows, _MAX_PART_ROWS, self._cores.slots))
        starts = range(0, block.rows, size)
        return [_Part(block, first + start, start, min(size, block.rows - start)) for start in starts]

    def _run(self, part: _Part, queries: ndarray, count: int) -> tuple[ndarray, ndarray]:
        top, on_device = np.array([count], np.int64), part.block.on_device
        if on_device is None:
            vectors = part.block.vectors[part.start : part.start + part.rows]
            if len(queries) <= _FEW_QUERIES:
                return _best_dot_products(vectors, queries, count)
            inputs = {QUERIES: queries, GALLERY: vectors, COUNT: top}
            products, rows = self._session.run([PRODUCTS, ROWS], inputs)
            return products, rows
        binding = self._session.io_binding()
        on_device.bind(binding, GALLERY, part.rows)
        binding.bind_cpu_input(QUERIES, queries)
        binding.bind_cpu_input(COUNT, top)
        for name in (PRODUCTS, ROWS):
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        products, rows = binding.copy_outputs_to_cpu()
        return products, rows


class SearchNet:
    """The search of one matrix.

    Its outputs for each query are the rows with the greatest products: their keys (count, keys), their
    products in float64 (count), and an upper bound of the product of any other row. If there are fewer rows,
    the outputs are filled up with the product minus infinity. The bound is minus infinity if there is no
    other row.

    Args:
        session: the session.
        matrix: the matrix; its rows are of length 1.
        count: number of rows per query.
    """

    telemetry_labels = ("gallery", "search")
    slots = 1

    def __init__(self, session: SearchSession, matrix: VectorMatrix, count: int) -> None:
        self._session = session
        self._matrix = matrix
        self._count = count
        # The greatest difference of a product of vectors of length 1 in float32, summed in any order.
        self._error = 1.01 * matrix.dimension * _UNIT_ROUNDOFF
        queries = max(1, min(MAX_QUERIES, _MAX_RESULTS // count))
        self._sizes = tuple(range(1, queries + 1))

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """Return the allowed numbers of queries of one product."""
        return self._sizes

    def empty_outputs(self) -> list[ndarray]:
        """Return the outputs for no query."""
        return self._no_rows(0)

    def run(self, queries: Float32[ndarray, "m d"]) -> list[ndarray]:
        """Return the outputs for queries, which the scheduler may merge with those of other threads.

        Each query sees the matrix between two changes.

        Raises:
            OutOfMemory: the device does not have enough memory.
        """
        return self._session.scheduler.run(self, queries)

    def infer(self, images: Float32[ndarray, "m d"], size: int) -> list[ndarray]:
        """Return the outputs for queries, from one state of the matrix. There is no padding.

        Raises:
            OutOfMemory: the device does not have enough memory.
        """
        queries = np.ascontiguousarray(images)
        keys, products, bounds = self._no_rows(len(queries))
        with self._matrix.exclusive():
            self._matrix.upload()
            if len(self._matrix):
                rows, bounds = self._best_rows(queries)
                keys[:, : rows.shape[1]] = self._matrix.gather_keys(rows)
                products[:, : rows.shape[1]] = self._matrix.similarities(rows, queries)
        return [keys, products, bounds]

    def _best_rows(
        self, queries: Float32[ndarray, "m d"]
    ) -> tuple[Int64[ndarray, "m k"], Float64[ndarray, " m"]]:
        """Return the rows with the greatest products, in no order, and the bounds of all others."""
        products, rows = self._session.best_rows(self._matrix.blocks, queries, self._count)
        if rows.shape[1] > self._count:
            chosen = np.argpartition(products, -self._count, axis=1)[:, -self._count :]
            products, rows = np.take_along_axis(products, chosen, 1), np.take_along_axis(rows, chosen, 1)
        if rows.shape[1] == len(self._matrix):
            return rows, np.full(len(queries), -np.inf)
        return rows, products.min(axis=1).astype(np.float64) + self._error

    def _no_rows(self, queries: int) -> list[ndarray]:
        return [
            np.full((queries, self._count, self._matrix.key_count), -1, np.int64),
            np.full((queries, self._count), -np.inf),
            np.full(queries, -np.inf),
        ]


def _best_dot_products(
    vectors: Float32[ndarray, "n d"], queries: Float32[ndarray, "m d"], count: int
) -> tuple[Float32[ndarray, "m k"], Int64[ndarray, "m k"]]:
    products = np.vecdot(vectors, queries[:, None])
    rows = np.argpartition(products, -count, axis=1)[:, -count:]
    return np.take_along_axis(products, rows, axis=1), rows
