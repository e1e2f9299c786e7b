"""CUDA against the CPU: the same faces, landmarks and vectors. Runs by `make test-gpu` where a GPU is."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Timing
from app.runtime.store import load
from app.vision.boxes import iou
from app.vision.image import decode
from app.vision.pyramid import Octaves

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif("CUDAExecutionProvider" not in ort.get_available_providers(), reason="no CUDA"),
]
PHOTOS = sorted(Path("tests/photos").glob("*.*g"))


@pytest.fixture(scope="module")
def pair() -> tuple[Analyzer, Analyzer]:
    """The analyzer on CUDA, and on the CPU."""
    return Analyzer(load(Path("models"), "cuda")), Analyzer(load(Path("models"), "cpu"))


def test_every_session_really_runs_on_cuda(pair: tuple[Analyzer, Analyzer]) -> None:
    providers = {s.provider for model in pair[0].models for s in model.sessions.values()}
    assert providers == {"CUDAExecutionProvider"}


@pytest.mark.parametrize("path", PHOTOS, ids=lambda p: p.name)
def test_the_same_faces_landmarks_and_vectors(pair: tuple[Analyzer, Analyzer], path: Path) -> None:
    picture = Octaves(decode(path.read_bytes(), 50_000_000, "image"))
    cuda, cpu = (a.detector(None).detect(picture, DetectOptions(), Timing()) for a in pair)
    assert len(cuda) == len(cpu) > 0
    assert np.diag(iou(cuda.boxes, cpu.boxes)).min() > 0.98
    for name in pair[0].landmarkers:
        there, here = (a.landmarker(name)(picture, cpu.points) for a in pair)
        side = float((cpu.boxes[:, 2:] - cpu.boxes[:, :2]).min())
        assert np.abs(there - here).max() < 0.01 * side
    for name in pair[0].embedders:
        there, here = (a.embedder(name)(picture, cpu.points) for a in pair)
        assert (there * here).sum(axis=1).min() > 0.999
