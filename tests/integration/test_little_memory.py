"""A service with little memory left refuses what it cannot do, does the rest, and ends in order."""

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api.pictures import picture
from tests.processes import SERVE, is_ready, process
from tests.servers import http, until

pytestmark = pytest.mark.integration

SMALL, LARGE = picture(320, 240), picture(8000, 6000)


def limit_memory(pid: int, free: int | None) -> None:
    """Limit the address space of a process to its use and `free` bytes; None sets no limit."""
    size = resource.RLIM_INFINITY
    if free is not None:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        used = next(int(line.split()[1]) for line in lines if line.startswith("VmSize:")) << 10
        size = used + free
    resource.prlimit(pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def ask(url: str) -> list[httpx.Response]:
    """Send small requests of all kinds, a large one, and a check of readiness."""
    return [
        *(http.post(f"{url}/detect", files={"image": SMALL}, timeout=60) for _ in range(4)),
        http.post(f"{url}/detect/batch", files=[("image", SMALL)] * 4, timeout=60),
        http.post(f"{url}/detect", files={"image": LARGE}, timeout=60),
        http.get(f"{url}/readyz", timeout=60),
    ]


def kinds(answers: list[httpx.Response]) -> set[str]:
    """Return the types of the problems in the answers, and `ok` for answers without one."""
    bodies = [body for answer in answers for body in answer.json().get("results", [answer.json()])]
    return {body.get("type", "ok") for body in bodies}


def test_little_memory_costs_only_the_requests_that_need_more() -> None:
    with process(*SERVE) as (running, url, lines):
        until(lambda: is_ready(url), 60)
        limit_memory(running.pid, 20 << 20)
        with ThreadPoolExecutor(8) as clients:  # no thread of the service can be started any more
            assert kinds(list(clients.map(lambda _: ask(url)[0], range(8)))) <= {
                "ok",
                "/problems/out-of-memory",
            }
        answers = ask(url)
        assert kinds(answers) == {"ok", "/problems/out-of-memory"}
        assert answers[0].status_code == answers[-1].status_code == 200
        assert answers[-2].status_code == 503
        assert answers[-2].headers["retry-after"]
        limit_memory(running.pid, None)
        assert kinds(ask(url)) == {"ok"}
        limit_memory(running.pid, 2 << 20)
        running.terminate()
        assert running.wait(20) == 0
        assert "Traceback" not in "".join(lines)
