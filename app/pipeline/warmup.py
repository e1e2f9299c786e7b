"""Warm-up: runs every net once, before the service reports ready."""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from app.pipeline import anchor_free, sliding_window
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.device import GPU_BATCH_SIZES
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import AnchorFreeSpec, FusionSpec, HeadSpec, PNetSpec

_SIDE = 480
_CPU_CANVAS = 256
_ALL_BATCH_SIZES = sum(GPU_BATCH_SIZES)  # this number of items is divided into one batch of each size


class WarmUp:
    """Runs each session once, in a separate thread, while further sessions are being opened."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "warm-up")
        self._runs: dict[int, tuple[ModelSession, Future[None]]] = {}

    def begin(self, session: ModelSession) -> None:
        """Queue the run of a session."""
        self._runs[id(session)] = session, self._pool.submit(_run, session)

    def finish(self, session: ModelSession) -> None:
        """Wait for the run of a session, and queue it first if necessary. Errors of the run are passed on."""
        if id(session) not in self._runs:
            self.begin(session)
        self._runs[id(session)][1].result()

    def close(self) -> None:
        """Drop the queued runs, and wait for the current one."""
        self._pool.shutdown(cancel_futures=True)


def warm_up(analyzer: Analyzer, runs: WarmUp | None = None) -> None:
    """Run every session once, and every detector on an image of noise.

    On a GPU every session runs with every batch size, since the first run of each shape is slow.

    Args:
        analyzer: the models.
        runs: the runs that were begun while the models were being loaded. It is closed.
    """
    runs = runs or WarmUp()
    try:
        for model in analyzer.models:
            for session in model.sessions.values():
                runs.finish(session)
    finally:
        runs.close()
    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    for detector in analyzer.detectors.values():
        detector.detect(ImagePyramid(noise), DetectOptions(), Timing())


def _run(session: ModelSession) -> None:
    count = 1 if session.device.on_cpu else _ALL_BATCH_SIZES
    match session.spec:
        case PNetSpec() | AnchorFreeSpec() as spec:
            module = sliding_window if isinstance(spec, PNetSpec) else anchor_free
            policy = module.tiling_policy(session.device)
            # On a GPU all canvases have this size. On a CPU the sizes differ, and a small one is enough.
            limit = _CPU_CANVAS if session.device.on_cpu else math.inf
            height, width = (int(min(side, limit)) for side in (policy.height, policy.width))
            session.run(np.zeros((count, height, width, 3), np.uint8))
        case HeadSpec(dimension=dimension):
            session.run(np.zeros((count, 2, dimension), np.float32))
        case FusionSpec(inputs=inputs):
            session.run(np.zeros((count, inputs), np.float32))
        case spec:
            session.run(np.zeros((count, spec.size, spec.size, 3), np.uint8))
