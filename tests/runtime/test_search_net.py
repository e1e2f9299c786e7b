"""The search of a matrix as a net: products, bounds, and searches that share a product."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from app.errors import OutOfMemory
from app.runtime.device import Device
from app.runtime.device_rows import DeviceRows
from app.runtime.search_net import SearchNet, SearchSession
from app.runtime.vector_matrix import VectorMatrix
from tests.runtime.sum_net import RecordingTelemetry
from tests.servers import until

CPU = Device("cpu", threads=2)
DIMENSION = 16


@cache
def session() -> SearchSession:
    """Return a session on the CPU."""
    return SearchSession(CPU)


def unit(n: int, seed: int = 0) -> ndarray:
    """Return n random vectors of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def matrix_of(vectors: ndarray, block_rows: int = 100) -> VectorMatrix:
    """Return a matrix whose keys are the numbers of the rows."""
    matrix = VectorMatrix(DIMENSION, 1, CPU, block_rows)
    matrix.append(vectors, np.arange(len(vectors))[:, None])
    return matrix


@pytest.mark.parametrize("n", [1, 30, 100, 101, 730])
@pytest.mark.parametrize("count", [1, 8, 64, 512])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_the_greatest_products_and_a_bound_of_all_others(n: int, count: int, number: int) -> None:
    vectors, queries = unit(n), unit(number, seed=1)
    keys, products, bounds = SearchNet(session(), matrix_of(vectors), count).run(queries)
    assert keys.shape == (number, count, 1)
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    for found, values, bound, all_products in zip(keys[..., 0], products, bounds, exact, strict=True):
        listed = found[values > -np.inf]
        assert set(listed) == set(np.argsort(-all_products)[:count])
        np.testing.assert_allclose(values[: len(listed)], all_products[listed], atol=1e-15)
        others = np.delete(all_products, listed)
        if len(others):
            assert others.max() <= bound < others.max() + 0.5
        else:
            assert bound == -np.inf


@pytest.mark.parametrize("number", [1, 3])
def test_the_rows_of_a_block_are_searched_in_parts(number: int) -> None:
    vectors, queries = unit(9000), unit(number, seed=1)
    net = SearchNet(session(), matrix_of(vectors, block_rows=5000), 8)
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    found = net.run(queries)[0][..., 0]
    assert np.sort(found).tolist() == np.sort(np.argsort(-exact)[:, :8]).tolist()


@pytest.mark.parametrize("number", [1, 3])
def test_the_bound_covers_the_rounding_of_float32(number: int) -> None:
    """The products of all rows differ by less than the rounding of float32."""
    nearly_equal = unit(1) + 1e-8 * np.random.default_rng(0).standard_normal((200, DIMENSION))
    vectors = nearly_equal.astype(np.float32)
    exact = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    keys, products, bounds = SearchNet(session(), matrix_of(vectors), 8).run(vectors[[0] * number])
    assert np.delete(exact, keys[0, :, 0]).max() <= bounds[0]
    assert bounds[0] - products[0].min() < 1e-5


def test_an_empty_matrix_and_no_query() -> None:
    net = SearchNet(session(), VectorMatrix(DIMENSION, 1, CPU), 8)
    _, products, bounds = net.run(unit(2))
    assert (products == -np.inf).all()
    assert (bounds == -np.inf).all()
    assert [len(out) for out in net.run(unit(0))] == [0, 0, 0]


def test_searches_that_wait_for_a_matrix_share_one_product() -> None:
    telemetry = RecordingTelemetry()
    sharing = SearchSession(CPU, telemetry)
    matrix, queries = matrix_of(unit(300)), unit(16, seed=1)
    net = SearchNet(sharing, matrix, 8)
    alone = [net.run(query[None]) for query in queries]
    telemetry.batches.clear()
    with ThreadPoolExecutor(16) as clients:
        with matrix.exclusive():
            first = clients.submit(net.run, queries[:1])
            until(lambda: sharing.scheduler.waiting == 0)
            others = [clients.submit(net.run, query[None]) for query in queries[1:]]
            until(lambda: sharing.scheduler.waiting == 15)
        answers = [a.result(30) for a in [first, *others]]
    assert telemetry.batches == [(1, 1), (15, 15)]
    for answer, own in zip(answers, alone, strict=True):
        assert_equal(answer, own)


def assert_equal(answer: list[ndarray], other: list[ndarray]) -> None:
    """Check that two outputs have the same rows with the same products, and nearly the same bound."""
    order, other_order = answer[0][..., 0].argsort(axis=1), other[0][..., 0].argsort(axis=1)
    for a, b in zip(answer[:2], other[:2], strict=True):
        a, b = a.reshape(b.shape[0], b.shape[1]), b.reshape(b.shape[0], b.shape[1])
        assert np.take_along_axis(a, order, 1).tolist() == np.take_along_axis(b, other_order, 1).tolist()
    np.testing.assert_allclose(answer[2], other[2], atol=1e-6)


def test_other_matrices_and_other_counts_are_not_merged() -> None:
    telemetry = RecordingTelemetry()
    sharing = SearchSession(CPU, telemetry)
    matrix, other = matrix_of(unit(30)), matrix_of(unit(30, seed=1))
    nets = [SearchNet(sharing, m, count) for m, count in [(matrix, 8), (matrix, 8), (matrix, 9), (other, 8)]]
    nets[1] = nets[0]
    with ThreadPoolExecutor(8) as clients:
        with matrix.exclusive():
            first = clients.submit(nets[0].run, unit(1))
            until(lambda: sharing.scheduler.waiting == 0)
            others = [clients.submit(net.run, unit(2)) for net in nets]
            until(lambda: sharing.scheduler.waiting == 4)
        for answer in [first, *others]:
            answer.result(30)
    assert sorted(telemetry.batches) == [(1, 1), (1, 2), (1, 2), (2, 4)]


def test_many_results_per_query_are_for_few_queries_at_once() -> None:
    matrix = matrix_of(unit(10))
    largest = [SearchNet(session(), matrix, count).batch_sizes(unit(1))[-1] for count in (64, 512, 100_000)]
    assert largest == [64, 8, 1]


class SmallMemory(SearchSession):
    """A session with memory for four queries at once."""

    def _run(self, part: Any, queries: ndarray, count: int) -> tuple[ndarray, ndarray]:
        if len(queries) > 4:
            raise RuntimeError("bad allocation")
        return super()._run(part, queries, count)


def test_a_device_short_of_memory_searches_for_fewer_queries_at_once() -> None:
    telemetry = RecordingTelemetry()
    matrix, queries = matrix_of(unit(300)), unit(10, seed=1)
    short = SearchNet(SmallMemory(CPU, telemetry), matrix, 8)
    assert_equal(short.run(queries), SearchNet(session(), matrix, 8).run(queries))
    assert telemetry.exhausted == [10, 5, 5]
    with pytest.raises(OutOfMemory, match="for 7 faces at once"):
        short.infer(queries[:7], 7)


def test_rows_on_a_device_are_searched_there() -> None:
    """The CPU stands in for the device: the binding is the same."""
    vectors, queries = unit(230), unit(5, seed=1)
    matrix, on_device = matrix_of(vectors), matrix_of(vectors)
    for block in on_device.blocks:
        block.on_device, block.current = DeviceRows((block.capacity, DIMENSION), CPU), False
    net, other = SearchNet(session(), matrix, 8), SearchNet(session(), on_device, 8)
    assert_equal(other.run(queries), net.run(queries))
    for changed in (matrix, on_device):
        with changed.changing():
            changed.remove(3)
            changed.overwrite(7, queries[0], np.array([999]))
            changed.append(queries[1:2], np.array([[1000]]))
    assert_equal(other.run(queries), net.run(queries))
    assert 999 in other.run(queries[:1])[0]
