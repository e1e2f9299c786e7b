"""CUDA against the CPU: the same answers, and batches that fit. `make test-gpu` runs these."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from app.errors import DeviceUnavailable, OutOfMemory
from app.pipeline.analyzer import Analyzer
from app.runtime.model_store import LoadOptions, load
from app.runtime.session import ModelSession
from app.runtime.telemetry import Telemetry
from benchmarks.gpu import agreement, nodes
from benchmarks.gpu.plan import Plan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif("CUDAExecutionProvider" not in ort.get_available_providers(), reason="no CUDA"),
]


@pytest.fixture(scope="module")
def pair() -> tuple[Analyzer, Analyzer]:
    """Return the analyzer on CUDA, and on the CPU."""
    return Analyzer(load(Path("models"), "cuda")), Analyzer(load(Path("models"), "cpu"))


def test_every_session_really_runs_on_cuda(pair: tuple[Analyzer, Analyzer]) -> None:
    providers = {s.provider for model in pair[0].models for s in model.sessions.values()}
    assert providers == {"CUDAExecutionProvider"}


def test_every_net_and_every_detector_answers_as_on_the_cpu() -> None:
    *_, result = agreement.measure(Plan("cuda", time.monotonic() + 600))
    assert (result.complete, result.faults) == (True, [])


def test_every_node_runs_on_cuda() -> None:
    *_, result = nodes.measure(Plan("cuda", time.monotonic() + 600))
    assert result.faults == []


def session_of(analyzer: Analyzer, name: str) -> ModelSession:
    """Return the net of an embedder that has one."""
    return next(m for m in analyzer.models if m.entry.name == name).sessions["embedder"]


class RecordingTelemetry(Telemetry):
    """Records the sizes of batches for which the memory did not suffice, and how many requests shared one."""

    def __init__(self) -> None:
        self.exhausted: list[int] = []
        self.requests: list[int] = []

    def device_memory_exhausted(self, model: str, stage: str, items: int) -> None:
        """Record a batch size."""
        self.exhausted.append(items)

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Record the number of requests."""
        self.requests.append(requests)


def test_a_device_short_of_memory_takes_smaller_batches(pair: tuple[Analyzer, Analyzer]) -> None:
    """Limit the memory so that it holds the net and some batches, but not the largest."""
    crops = np.random.default_rng(0).integers(0, 256, (64, 150, 150, 3), np.uint8)
    expected = session_of(pair[0], "dlib").run(crops)["embedding"]
    telemetry = RecordingTelemetry()
    for memory in (512, 384, 256, 192, 128, 96, 64):
        try:
            (model,) = load(
                Path("models"),
                "cuda",
                names=frozenset({"dlib"}),
                options=LoadOptions(memory_mb=memory, telemetry=telemetry),
            )
            found = model.sessions["embedder"].run(crops)["embedding"]
        except (DeviceUnavailable, OutOfMemory):
            continue
        assert (found * expected).sum(axis=1).min() > 0.999
    assert telemetry.exhausted


def test_threads_share_the_device(pair: tuple[Analyzer, Analyzer]) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (96, 112, 112, 3), np.uint8)
    session = session_of(pair[0], "sface")
    alone = session.run(crops)["embedding"]
    with ThreadPoolExecutor(32) as clients:
        parts = list(clients.map(lambda i: session.run(crops[3 * i : 3 * i + 3])["embedding"], range(32)))
    assert (np.concatenate(parts) * alone).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("dynamic_batching", [True, False])
def test_requests_share_batches_only_with_dynamic_batching(dynamic_batching: bool) -> None:
    telemetry = RecordingTelemetry()
    options = LoadOptions(dynamic_batching=dynamic_batching, telemetry=telemetry)
    (model,) = load(Path("models"), "cuda", names=frozenset({"sface"}), options=options)
    session = model.sessions["embedder"]
    crops = np.random.default_rng(0).integers(0, 256, (96, 112, 112, 3), np.uint8)
    with ThreadPoolExecutor(32) as clients:
        list(clients.map(lambda i: session.run(crops[3 * i : 3 * i + 3]), range(32)))
    assert sum(telemetry.requests) >= 32
    assert (max(telemetry.requests) > 1) is dynamic_batching
