"""The served nets: crops in one batch, or of many requests at a time, have the answers of single crops."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from app.vision.spec import AnchorFreeSpec, FusionSpec, HeadSpec, PNetSpec

TOLERANCE = 2e-5
"""For scores, for offsets and points in units of the crop, and for vectors of length 1."""

PHOTO = Path("tests/photos/astronaut.png")


class NetWithSingles:
    """A net that reads crops, and its answers to each of a few crops alone.

    There is one crop more than the largest batch holds, so that a call with all of them takes two batches.
    """

    def __init__(self, net: ModelSession) -> None:
        assert not isinstance(net.spec, PNetSpec | AnchorFreeSpec | HeadSpec | FusionSpec)
        self.net = net
        self.name = f"{net.spec.model} {net.spec.kind}"
        size = net.spec.size
        self.count = net.device.batch_sizes(size * size)[-1] + 1
        self.crops = np.random.default_rng(0).integers(0, 256, (self.count, size, size, 3), np.uint8)
        singles = [net.run(self.crops[i : i + 1]) for i in range(self.count)]
        self.singles = {name: np.concatenate([one[name] for one in singles]) for name in singles[0]}

    def check(self, requests: list[ndarray]) -> None:
        """Run requests, given as indices of crops, at the same time, and compare with the single answers."""
        with ThreadPoolExecutor(len(requests)) as clients:
            answers = list(clients.map(lambda index: self.net.run(self.crops[index]), requests))
        for index, answer in zip(requests, answers, strict=True):
            assert set(answer) == set(self.singles)
            for name, together in answer.items():
                assert together.shape == self.singles[name][index].shape
                assert np.abs(together - self.singles[name][index]).max() <= TOLERANCE, (self.name, name)


@pytest.fixture(scope="module")
def nets(analyzer: Analyzer) -> list[NetWithSingles]:
    return [NetWithSingles(net) for net in nets_on_crops(analyzer)]


def nets_on_crops(analyzer: Analyzer) -> Iterator[ModelSession]:
    others = PNetSpec | AnchorFreeSpec | HeadSpec | FusionSpec
    for model in analyzer.models:
        yield from (s for s in model.sessions.values() if not isinstance(s.spec, others))


def test_all_models_have_nets_on_crops_except_fusions(analyzer: Analyzer, nets: list[NetWithSingles]) -> None:
    assert {n.net.spec.model for n in nets} == {m.entry.name for m in analyzer.models if not m.entry.parts}


def test_the_largest_batch_and_one_more_equal_singles(nets: list[NetWithSingles]) -> None:
    for net in nets:
        net.check([np.arange(net.count)])


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_batch_of_n_equals_n_singles(nets: list[NetWithSingles], counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    for net in nets:
        few = counts if net.count > 10 else counts[:3]  # nets on large crops are slow, and run in turn
        net.check([random.integers(0, net.count, min(count, net.count)) for count in few])


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
