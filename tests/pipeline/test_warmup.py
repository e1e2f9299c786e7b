import pytest
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.warmup import Warming, warm_up
from app.runtime.session import PROVIDERS, batches
from tests.fakes import FakeSession, cascade, embedder, fake_analyzer, landmarker


def test_every_session_runs_and_every_detector_looks() -> None:
    looks = []
    analyzer = fake_analyzer(lambda: looks.append(1))
    warm_up(analyzer)
    assert len(looks) == len(analyzer.detectors)
    for model in analyzer.models:
        for session in model.sessions.values():
            assert isinstance(session, FakeSession)
            assert session.seen


def test_a_gpu_session_meets_every_batch_size() -> None:
    models = [cascade(), landmarker(), embedder()]
    sessions = [session for model in models for session in model.sessions.values()]
    for session in sessions:
        assert isinstance(session, FakeSession)
        session.provider = PROVIDERS["cuda"]
    warm_up(Analyzer(models))
    for session in sessions:
        assert isinstance(session, FakeSession)
        assert {size for _, _, size in batches(session.seen[0], (1, 4, 16, 64))} == {1, 4, 16, 64}


def test_sessions_run_as_soon_as_they_are_open_and_once() -> None:
    models, warming = [cascade(), landmarker(), embedder()], Warming()
    sessions = [session for model in models for session in model.sessions.values()]
    for session in sessions[1:]:  # the first one is run by `warm_up`
        warming.begin(session)
    warm_up(Analyzer(models), warming)
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
    warming = Warming()
    warming.begin(whole)
    with pytest.raises(MemoryError, match="none left"):
        warm_up(Analyzer([cascade(), model, embedder()]), warming)
