"""The served nets: crops that run together, of one picture or of many requests, answer as they do alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from app.vision.spec import FusionSpec, HeadSpec, PNetSpec

TOLERANCE = 2e-5
"""Of outputs that are scores, offsets and points in units of the crop, and vectors of length 1."""

PHOTO = Path("tests/photos/astronaut.png")


def nets(analyzer: Analyzer) -> Iterator[ModelSession]:
    """Those that read crops."""
    others = PNetSpec | HeadSpec | FusionSpec
    for model in analyzer.models:
        yield from (s for s in model.sessions.values() if not isinstance(s.spec, others))


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_batch_of_n_equals_n_singles(analyzer: Analyzer, counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    for net in nets(analyzer):
        assert not isinstance(net.spec, PNetSpec | HeadSpec | FusionSpec)
        size = net.spec.size
        crops = random.integers(0, 256, (sum(counts), size, size, 3), np.uint8)
        requests = np.split(crops, np.cumsum(counts)[:-1])
        with ThreadPoolExecutor(len(requests)) as clients:
            answers = list(clients.map(net.run, requests))
        for name in answers[0]:
            together = np.concatenate([answer[name] for answer in answers])
            singles = np.concatenate([net.run(crops[i : i + 1])[name] for i in range(len(crops))])
            assert np.abs(together - singles).max() <= TOLERANCE, (net.spec.model, net.spec.kind, name)


@pytest.mark.parametrize("clients", [2, 8])
def test_pictures_side_by_side_are_answered_as_alone(analyzer: Analyzer, clients: int) -> None:
    image = decode(PHOTO.read_bytes(), 50_000_000, "image")
    pictures = [np.ascontiguousarray(image[:, shift:]) for shift in range(0, 8 * clients, 8)]

    def detect(index: int) -> np.ndarray:
        found = analyzer.detector(None).detect(ImagePyramid(pictures[index]), DetectOptions(), Timing())
        return np.concatenate([found.boxes, found.points.reshape(len(found), 10)], axis=1)

    alone = [detect(index) for index in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        together = list(pool.map(detect, range(clients)))
    for one, other in zip(together, alone, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 0.01  # pixels
