import logging
import resource
import threading

import pytest

from app.errors import CannotStart
from app.runtime.process_limits import require_descriptors, require_threads

INFINITE = resource.RLIM_INFINITY


def test_enough_threads() -> None:
    before = threading.active_count()
    require_threads(20)
    assert threading.active_count() <= before


def test_too_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = threading.Thread.start
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        begin(thread)
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(CannotStart, match=r"needs 5 more threads, but the system allows only 3.*pids_limit"):
        require_threads(5)
    assert not any(thread.is_alive() for thread in started)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits on file descriptors: the last item is the current one."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.append(pair))
    return limits


@pytest.mark.parametrize("given", [(150, 150), (150, 1000), (INFINITE, INFINITE), (1000, INFINITE)])
def test_enough_descriptors(limit: list[tuple[int, int]], given: tuple[int, int]) -> None:
    limit.append(given)
    require_descriptors(100, 50)
    assert limit == [given]


@pytest.mark.parametrize("hard", [150, 1000, INFINITE])
def test_a_soft_limit_is_raised(
    limit: list[tuple[int, int]], hard: int, caplog: pytest.LogCaptureFixture
) -> None:
    limit.append((149, hard))
    with caplog.at_level(logging.INFO):
        require_descriptors(100, 50)
    assert limit[-1] == (150, hard)
    assert "raised from 149 to 150, which FACE_MAX_CONNECTIONS=100 needs" in caplog.text


@pytest.mark.parametrize(
    ("hard", "remedy"), [(149, "or set FACE_MAX_CONNECTIONS=99 or lower"), (50, "ulimits of a container)")]
)
def test_a_hard_limit_stops_the_start(limit: list[tuple[int, int]], hard: int, remedy: str) -> None:
    limit.append((10, hard))
    with pytest.raises(CannotStart) as caught:
        require_descriptors(100, 50)
    assert caught.value.detail.startswith(
        f"FACE_MAX_CONNECTIONS=100 needs 150 file descriptors, but the process may open only {hard}."
    )
    assert caught.value.detail.endswith(f"{remedy}.")
