"""Fixtures of the tests of training."""

import pytest


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no learning curves, which takes longer than an epoch of a small net."""
    monkeypatch.setattr("training.logbook.Logbook._curves", lambda *given: None)
