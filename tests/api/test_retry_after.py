"""`Retry-After` of refused requests, and problems of requests that lack memory."""

import json

import pytest

from app.api.problem_handlers import unexpected
from app.service.problems import retry_after


@pytest.mark.parametrize(
    ("wait_s", "least", "most"), [(0, 1, 2), (0.3, 1, 2), (3.2, 4, 6), (24, 24, 36), (1000, 40, 60)]
)
def test_the_wait_is_rounded_up_spread_and_bounded(wait_s: float, least: int, most: int) -> None:
    values = {int(retry_after(wait_s)) for _ in range(2000)}
    assert values == set(range(least, most + 1))


@pytest.mark.parametrize(
    ("error", "status"),
    [(MemoryError(), 503), (RuntimeError("can't start new thread"), 503), (ValueError("wrong"), 500)],
)
def test_an_unexpected_lack_of_memory_is_no_fault_of_the_service(error: Exception, status: int) -> None:
    response = unexpected(error, {"type": "http", "path": "/detect"})
    body = json.loads(bytes(response.body))
    assert response.status_code == body["status"] == status
    assert (body["type"] == "/problems/out-of-memory") == (status == 503)
    assert ("retry-after" in response.headers) == (status == 503)
