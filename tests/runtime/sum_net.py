"""A fake net for tests of the schedulers, and what goes with it."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy import ndarray

from app.errors import OutOfMemory
from app.runtime.device import PROVIDERS, Device
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.telemetry import Telemetry
from app.vision.spec import LandmarkSpec, ModelSpec
from tests import fakes
from tests.servers import until

GPU = (1, 4, 16, 64)
CPU = tuple(range(1, 9))
"""Allowed batch sizes, as a GPU and a CPU have them."""


@dataclass
class SumNet:
    """A net whose output is the sum of each image.

    Records its calls as (images, padded size). It can be held at a gate, and be short of memory.
    """

    sizes: tuple[int, ...] = GPU
    slots: int = 1
    memory: int = 1000
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[int, int]] = field(default_factory=list)
    spec: ModelSpec = field(
        default_factory=lambda: LandmarkSpec(
            model="sums", size=2, template="arcface", scheme="ibug68", **fakes.COMMON
        )
    )
    provider: str = PROVIDERS["cpu"]
    device: Device = fakes.CPU
    outputs: Sequence[str] = ("sum",)
    threads: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.gate.set()
        self._lock = threading.Lock()

    @property
    def telemetry_labels(self) -> tuple[str, str]:
        """The labels of its events."""
        return self.spec.model, self.spec.kind

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        """Return the allowed batch sizes, ascending."""
        return self.sizes

    def empty_outputs(self) -> list[ndarray]:
        """Return the outputs of an empty batch."""
        return [np.empty(0, np.int64)]

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        """Return the sums, once the gate is open. Raises OutOfMemory for a batch larger than the memory."""
        with self._lock:
            self.calls.append((len(images), size))
            self.threads.add(threading.current_thread().name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(30)
        with self._lock:
            self.at_once -= 1
        if size > self.memory:
            raise OutOfMemory("no memory")
        return [images.astype(np.int64).sum(axis=(1, 2, 3))]


class RecordingTelemetry(Telemetry):
    """Records the batches, as (requests, items), and the sizes for which the memory did not suffice."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.exhausted: list[int] = []

    def batch(self, model: str, stage: str, requests: int, items: int) -> None:
        """Record a batch."""
        self.batches.append((requests, items))

    def device_memory_exhausted(self, model: str, stage: str, items: int) -> None:
        """Record a batch size."""
        self.exhausted.append(items)


def images(n: int, seed: int = 0, side: int = 2) -> ndarray:
    """Return n random images."""
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def sums(batch: ndarray) -> list[int]:
    """Return the sum of each image."""
    found: list[int] = batch.astype(np.int64).sum(axis=(1, 2, 3)).tolist()
    return found


def queue_behind_a_held_call(
    net: SumNet, scheduler: DeviceScheduler, clients: ThreadPoolExecutor, calls: Sequence[ndarray]
) -> list[Future[ndarray]]:
    """Let the net hold a call with one image, then queue the calls in order behind it.

    Returns:
        The futures of the held call and of all others. They finish after `net.gate.set()`.
    """
    session = ScheduledSession(net, scheduler)

    def run(batch: ndarray) -> ndarray:
        return session.run(batch)["sum"]

    net.gate.clear()
    out = [clients.submit(run, images(1))]
    until(lambda: len(net.calls) == 1)
    for batch in calls:
        queued = len(out)
        out.append(clients.submit(run, batch))
        until(partial(_has_queued, scheduler, queued))
    return out


def _has_queued(scheduler: DeviceScheduler, count: int) -> bool:
    return scheduler.waiting == count
