"""No memory is left: the address space of a running service is limited to little more than it uses.

Small and large requests, a batch and a form in JSON are sent while 20 MB and then 2 MB are free, then again
without the limit, and SIGTERM comes with the limit in place.
"""

import base64
import json
import resource
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.faults.service import Running, Service
from benchmarks.pictures import jpeg

_FREE_MB = (20, 2)
_END_S = 40.0


def run(service: Service) -> list[tuple[str, str]]:
    """Return the answers with little memory, after it, and the end of the service."""
    rows = []
    small, large = jpeg(320, 240, 2), jpeg(5000, 4000, 2)
    with service.start(device="cpu") as running:
        used = _address_space(running)
        for free in _FREE_MB:
            _limit(running, used + (free << 20))
            answers = _ask(running.url, small, large)
            rows.append((f"answers with {free} MB left", _text(answers)))
            service.require(
                set(answers) <= {"200", "503 out-of-memory"}, "every answer is 200 or out-of-memory"
            )
        _limit(running, resource.RLIM_INFINITY)
        after = _ask(running.url, small, large)
        rows.append(("answers when memory is there again", _text(after)))
        service.require(set(after) == {"200"}, "the service recovers")
        _limit(running, used + (2 << 20))
        running.process.terminate()
        begun = time.perf_counter()
        while running.process.poll() is None and time.perf_counter() - begun < _END_S:
            time.sleep(0.05)
        status = running.process.poll()
        took = time.perf_counter() - begun
        rows.append(("SIGTERM with 2 MB left", "no end" if status is None else f"{status} in {took:.1f} s"))
        service.require(status == 0, "SIGTERM ends the service")
        if status is None:
            running.process.kill()
        tracebacks = sum("Traceback" in line for line in running.log)
        rows.append(("tracebacks in the log", str(tracebacks)))
        service.require(tracebacks == 0, "no traceback is logged")
    return rows


def _ask(url: str, small: bytes, large: bytes) -> "Counter[str]":
    answers: Counter[str] = Counter()
    text = json.dumps({"image": base64.b64encode(small).decode()})
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(3):
            for answer in (
                client.post("/detect", files={"image": small}),
                client.post("/embed", content=small, headers={"content-type": "image/jpeg"}),
                client.post("/detect", content=text, headers={"content-type": "application/json"}),
                client.post("/detect/batch", files=[("image", small)] * 4),
                client.post("/detect", content=large, headers={"content-type": "image/jpeg"}),
                client.get("/readyz"),
            ):
                body = answer.json()
                results = body.get("results", [body])
                kinds = {str(result.get("type", "")).rpartition("/")[2] for result in results}
                answers[" ".join([str(answer.status_code), *sorted(kinds - {""})])] += 1
    return answers


def _text(answers: "Counter[str]") -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(answers.items()))


def _address_space(running: Running) -> int:
    lines = Path(f"/proc/{running.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmSize:")) << 10


def _limit(running: Running, size: int) -> None:
    resource.prlimit(running.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
