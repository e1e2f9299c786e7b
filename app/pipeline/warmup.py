"""Warm-up: one real run through every net at the shapes it will see, before the service says ready."""

import numpy as np

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Timing
from app.runtime.session import PROVIDERS, ModelSession
from app.vision.spec import FusionSpec, HeadSpec, PNetSpec

_SIDE = 480
_EVERY_BATCH = 1 + 4 + 16 + 64  # split greedily, this many items meet every batch size of a GPU session


def warm_up(analyzer: Analyzer) -> None:
    """Runs every session of every model, and every detector on a picture of noise."""
    for model in analyzer.models:
        for session in model.sessions.values():
            _run(session)
    picture = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    for name in analyzer.detectors:
        analyzer.detect(picture, name, DetectOptions(), Timing())


def _run(session: ModelSession) -> None:
    count = 1 if session.provider == PROVIDERS["cpu"] else _EVERY_BATCH
    match session.spec:
        case PNetSpec():
            pages = session.pages
            session.run(np.zeros((count, pages.height, pages.width, 3), np.uint8))
        case HeadSpec(dimension=dimension):
            session.run(np.zeros((count, 2, dimension), np.float32))
        case FusionSpec(inputs=inputs):
            session.run(np.zeros((count, inputs), np.float32))
        case spec:
            session.run(np.zeros((count, spec.size, spec.size, 3), np.uint8))
