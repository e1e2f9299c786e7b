"""The measure of a client's progress."""

import pytest

from app.api.transport.recent_bytes import START, RecentBytes


def test_a_new_client_has_a_credit_that_fades() -> None:
    recent = RecentBytes(5)
    assert recent.count(5) == START
    assert recent.count(6) == pytest.approx(START / 2.718, rel=0.01)
    assert recent.count(1e6) == 0


def test_a_steady_client_has_about_its_rate() -> None:
    recent = RecentBytes(0)
    for step in range(1, 200):
        recent.add(1000, step / 10)
    assert recent.count(19.9) == pytest.approx(10_000, rel=0.1)
