from app.pipeline.analyzer import Analyzer
from app.pipeline.warmup import warm_up
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
