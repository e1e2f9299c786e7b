"""Fixtures of the tests of training."""

import pytest


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no learning curves: that takes longer than an epoch of a small net."""
    monkeypatch.setattr("training.engine.run_log.RunLog._curves", lambda *arguments: None)
