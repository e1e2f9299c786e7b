"""Time per stage, waits kept apart, and what ends the stages of a request that is over."""

import contextlib
import time

import pytest

from app.errors import Abandoned, DeadlineExceeded, NotReady
from app.runtime.request_context import RequestContext
from app.runtime.timing import Timing


def test_timing_adds_up_by_stage_also_when_a_stage_fails() -> None:
    timing = Timing()
    for _ in range(2):
        with timing.stage("a"):
            pass
    with contextlib.suppress(ValueError), timing.stage("b"):
        raise ValueError
    assert list(timing.ms) == ["a", "b"]


def test_a_wait_counts_as_queue_and_not_as_the_stage_in_which_it_occurs() -> None:
    timing = Timing()
    timing.add_wait(0.5)
    with timing.stage("net"):
        timing.add_wait(10)  # longer than the stage runs, so that no delay of the test hides the difference
    assert timing.ms["queue"] == pytest.approx(10_500)
    assert -10_000 <= timing.ms["net"] < -5_000
    assert list(timing.finish(faces=0)) == ["queue", "net", "total"]


def test_a_stage_is_split() -> None:
    timing = Timing()
    timing.ms = {"queue": 5.0, "replica": 100.0}
    timing.split("replica", {"queue": 10.0, "decode": 20.0, "onet": 30.0})
    assert timing.ms == {"queue": 15.0, "replica": 40.0, "decode": 20.0, "onet": 30.0}
    timing.split("replica", {"onet": 50.0})  # measured by another clock
    assert timing.ms == {"queue": 15.0, "replica": 0.0, "decode": 20.0, "onet": 80.0}


def test_no_stage_begins_once_the_request_is_over() -> None:
    late, cancelled = RequestContext(deadline=time.monotonic() - 1), RequestContext()
    cancelled.cancel(Abandoned("first"))
    cancelled.cancel(NotReady("second"))
    for context, error in ((late, DeadlineExceeded), (cancelled, Abandoned)):
        timing = Timing(context)
        with pytest.raises(error), timing.stage("a"):
            raise AssertionError("the stage has begun")
        assert timing.ms == {}
    Timing(RequestContext(deadline=time.monotonic() + 60)).check()
