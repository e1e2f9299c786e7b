"""Cancellation of a request, and who is told of it."""

import threading
import time

import pytest

from app.errors import Abandoned, DeadlineExceeded, NotReady
from app.runtime.request_context import RequestContext, deadline_exceeded


def test_check() -> None:
    context = RequestContext()
    context.check()
    context.deadline = time.monotonic() - 1
    with pytest.raises(DeadlineExceeded):
        context.check()
    context.cancel(Abandoned("The client has disconnected."))
    with pytest.raises(Abandoned):
        context.check()
    context.cancel(NotReady("Only the first one counts."))
    with pytest.raises(Abandoned):
        context.check()


def test_no_change_begins_after_the_end() -> None:
    context = RequestContext()
    assert "was dropped" in context.expire().detail
    with pytest.raises(DeadlineExceeded):
        context.begin_change()
    late = RequestContext(deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded, match="was dropped"):
        late.begin_change()


def test_the_error_after_a_change_says_that_it_may_have_been_made() -> None:
    context = RequestContext()
    context.begin_change()
    assert "may have been made. Ask for" in context.expire().detail
    late = RequestContext()
    late.begin_change()
    late.deadline = time.monotonic() - 1
    with pytest.raises(DeadlineExceeded, match="may have been made"):
        late.check()


def test_a_callback_is_called_within_the_block_only() -> None:
    context, told = RequestContext(), []
    with context.on_cancel(lambda: told.append("before")):
        pass
    with context.on_cancel(lambda: told.append("outer")), context.on_cancel(lambda: told.append("inner")):
        assert told == []
        context.cancel(deadline_exceeded())
    assert sorted(told) == ["inner", "outer"]
    context.cancel(deadline_exceeded())
    assert len(told) == 2


def test_a_callback_is_called_if_the_request_is_already_cancelled() -> None:
    context, told = RequestContext(), []
    context.cancel(deadline_exceeded())
    with context.on_cancel(lambda: told.append(1)):
        assert told == [1]


def test_an_error_ends_the_block() -> None:
    context, told = RequestContext(), []
    with pytest.raises(ValueError, match="wrong"), context.on_cancel(lambda: told.append(1)):
        raise ValueError("wrong")
    context.cancel(deadline_exceeded())
    assert told == []


def test_cancellation_from_another_thread() -> None:
    context, event = RequestContext(), threading.Event()
    with context.on_cancel(event.set):
        thread = threading.Thread(target=context.cancel, args=(deadline_exceeded(),))
        thread.start()
        assert event.wait(10)
        thread.join()
    with pytest.raises(DeadlineExceeded):
        context.check()
