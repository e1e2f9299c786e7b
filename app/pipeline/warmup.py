"""Warm-up: one real run of every net at the shapes it will see, before the service reports ready."""

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
_ALL_BATCH_SIZES = sum(GPU_BATCH_SIZES)  # divided greedily, this many items use every batch size of a GPU


class WarmUp:
    """Runs sessions once, in a thread of its own, each as soon as it is open."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "warm-up")
        self._runs: dict[int, tuple[ModelSession, Future[None]]] = {}

    def begin(self, session: ModelSession) -> None:
        """Start the run of a session."""
        self._runs[id(session)] = session, self._pool.submit(_run, session)

    def finish(self, session: ModelSession) -> None:
        """Wait for the session's run, which is started if it was not, and raise what it raised."""
        if id(session) not in self._runs:
            self.begin(session)
        self._runs[id(session)][1].result()

    def close(self) -> None:
        """Drop the runs that have not started."""
        self._pool.shutdown(cancel_futures=True)


def warm_up(analyzer: Analyzer, runs: WarmUp | None = None) -> None:
    """Run every session of every model once, and every detector on a picture of noise."""
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
            # On a GPU every canvas has this shape; on a CPU none need have it, and a small one suffices.
            limit = _CPU_CANVAS if session.device.on_cpu else math.inf
            height, width = (int(min(side, limit)) for side in (policy.height, policy.width))
            session.run(np.zeros((count, height, width, 3), np.uint8))
        case HeadSpec(dimension=dimension):
            session.run(np.zeros((count, 2, dimension), np.float32))
        case FusionSpec(inputs=inputs):
            session.run(np.zeros((count, inputs), np.float32))
        case spec:
            session.run(np.zeros((count, spec.size, spec.size, 3), np.uint8))
