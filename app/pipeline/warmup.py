"""Warm-up: one real run through every net at the shapes it will see, before the service says ready."""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Timing
from app.runtime.session import PROVIDERS, ModelSession
from app.vision.spec import FusionSpec, HeadSpec, PNetSpec

_SIDE = 480
_SMALL = 256
_EVERY_BATCH = 1 + 4 + 16 + 64  # split greedily, this many items meet every batch size of a GPU session


class Warming:
    """Runs sessions once, in a thread of its own, each as soon as it is open."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "warm")
        self._runs: dict[int, tuple[ModelSession, Future[None]]] = {}

    def begin(self, session: ModelSession) -> None:
        """The session is open."""
        self._runs[id(session)] = session, self._pool.submit(_run, session)

    def finish(self, session: ModelSession) -> None:
        """Waits for the session's run; what that raised is raised here. Runs it where it was not begun."""
        if id(session) not in self._runs:
            self.begin(session)
        self._runs[id(session)][1].result()

    def close(self) -> None:
        """Runs that nobody waits for are not begun any more."""
        self._pool.shutdown(cancel_futures=True)


def warm_up(analyzer: Analyzer, warming: Warming | None = None) -> None:
    """Runs every session of every model, and every detector on a picture of noise."""
    warming = warming or Warming()
    try:
        for model in analyzer.models:
            for session in model.sessions.values():
                warming.finish(session)
    finally:
        warming.close()
    picture = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    for name in analyzer.detectors:
        analyzer.detect(picture, name, DetectOptions(), Timing())


def _run(session: ModelSession) -> None:
    on_cpu = session.provider == PROVIDERS["cpu"]
    count = 1 if on_cpu else _EVERY_BATCH
    match session.spec:
        case PNetSpec():
            # On a GPU every page is of this shape; on a CPU none need be, and a small one warms as well.
            most = _SMALL if on_cpu else math.inf
            height, width = (int(min(side, most)) for side in (session.pages.height, session.pages.width))
            session.run(np.zeros((count, height, width, 3), np.uint8))
        case HeadSpec(dimension=dimension):
            session.run(np.zeros((count, 2, dimension), np.float32))
        case FusionSpec(inputs=inputs):
            session.run(np.zeros((count, inputs), np.float32))
        case spec:
            session.run(np.zeros((count, spec.size, spec.size, 3), np.uint8))
