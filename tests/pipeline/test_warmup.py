from typing import Any

import pytest
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.warmup import WarmUp, warm_up
from app.runtime.device import Device, DeviceKind, split_batches
from app.vision.spec import AnchorFreeSpec, PNetSpec
from tests.fakes import COMMON, FakeSession, cascade, embedder, fake_analyzer, landmarker


def test_every_session_runs_and_every_detector_detects() -> None:
    detections = []
    analyzer = fake_analyzer(lambda: detections.append(1))
    warm_up(analyzer)
    assert len(detections) == len(analyzer.detectors)
    for model in analyzer.models:
        for session in model.sessions.values():
            assert isinstance(session, FakeSession)
            assert session.seen


def test_a_gpu_session_meets_every_batch_size() -> None:
    models = [cascade(), landmarker(), embedder()]
    sessions = [session for model in models for session in model.sessions.values()]
    for session in sessions:
        assert isinstance(session, FakeSession)
        session.device = Device("cuda")
    warm_up(Analyzer(models))
    for session in sessions:
        assert isinstance(session, FakeSession)
        assert {size for _, _, size in split_batches(session.seen[0], (1, 4, 16, 64))} == {1, 4, 16, 64}


def test_sessions_run_as_soon_as_they_are_open_and_once() -> None:
    models, runs = [cascade(), landmarker(), embedder()], WarmUp()
    sessions = [session for model in models for session in model.sessions.values()]
    for session in sessions[1:]:  # the first one is run by `warm_up`
        runs.begin(session)
    warm_up(Analyzer(models), runs)
    for session in sessions:
        assert isinstance(session, FakeSession)
        looked = session.seen[1:]  # the detector's own look at a picture follows
        assert session.seen[0] == 1
        assert not looked or session.spec.kind in {"pnet", "rnet", "onet"}


def test_what_a_run_beside_the_opening_raises_is_raised_by_the_warm_up() -> None:
    class Broken(FakeSession):
        def run(self, images: ndarray) -> dict[str, ndarray]:
            raise MemoryError("none left")

    model = landmarker()
    (whole,) = model.sessions.values()
    assert isinstance(whole, FakeSession)
    whole.__class__ = Broken
    runs = WarmUp()
    runs.begin(whole)
    with pytest.raises(MemoryError, match="none left"):
        warm_up(Analyzer([cascade(), model, embedder()]), runs)


@pytest.mark.parametrize(
    ("kind", "canvases"), [("cuda", {(512, 640), (768, 1024)}), ("cpu", {(128, 256), (256, 256)})]
)
def test_proposal_nets_run_on_the_canvases_of_the_device(
    kind: DeviceKind, canvases: set[tuple[int, int]]
) -> None:
    seen = set()

    def answer(images: ndarray) -> dict[str, ndarray]:
        seen.add(images.shape[1:3])
        return {}

    common: dict[str, Any] = {"model": "p", "factor": 0.5, "threshold": 0.5, "nms": 0.5, "max_candidates": 9}
    runs = WarmUp()
    for spec in (
        PNetSpec(nms_per_scale=0.5, **common, **COMMON),
        AnchorFreeSpec(strides=(8,), **common, **COMMON),
    ):
        runs.finish(FakeSession(spec, answer, device=Device(kind)))
    runs.close()
    assert seen == canvases
