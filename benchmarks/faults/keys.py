"""Mistakes in API keys: settings without a valid key, a key in place of a file, a file that changes later."""

import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.faults.service import Running, Service, wait_until

_KEY = "first-key-of-some-length"
_REQUESTS = 40


def run(service: Service) -> list[tuple[str, str]]:
    """Return what starts without a key, what messages contain, and what a replaced worker accepts."""
    rows = []
    for value in (",", "#key-of-some-length"):
        answer = _start(service, value)
        service.require(not answer.startswith("serves 200"), f"FACE_API_KEYS={value}: {answer}")
        rows.append((f"FACE_API_KEYS='{value}'", answer))
    with service.start(wait=False, api_keys_file=_KEY) as running:
        wait_until(lambda: running.process.poll() is not None)
        shown = any(_KEY in line for line in running.log)
    service.require(not shown, "a key is printed")
    rows.append(("a key in FACE_API_KEYS_FILE is printed", "yes" if shown else "no"))
    for content in ("", "abc\n"):
        accepted = _replaced_worker(service, content)
        service.require(accepted == 0, f"{accepted} requests without a valid key were answered")
        rows.append(
            (
                f"two workers, key file changed to {content!r}, one worker replaced: of {_REQUESTS} requests "
                f"with {'the key abc' if content else 'no key'}, answered",
                str(accepted),
            )
        )
    return rows


def _start(service: Service, keys: str) -> str:
    """Return how a start ends: a message, or the status of a request without a key."""
    with service.start(wait=False, api_keys=keys) as running:

        def answers() -> bool:
            try:
                return httpx.get(f"{running.url}/readyz").is_success
            except httpx.TransportError:
                return running.process.poll() is not None

        wait_until(answers)
        if running.process.poll() is not None:
            return f"ends with status {running.process.returncode}: {running.log[-1]}"
        return f"serves {httpx.get(f'{running.url}/models').status_code} without a key"


def _replaced_worker(service: Service, content: str) -> int:
    """Return the number of requests that are answered with the new content of the file as their key."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys"
        file.write_text(_KEY)
        with service.start(workers=2, api_keys_file=file, models="cascade,landmarks68,sface") as running:
            wait_until(lambda: _ready(running, _KEY) == 2)
            time.sleep(1)  # until the supervisor knows it, too
            file.write_text(content)
            before = running.workers
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda: len(running.workers) == 2 and running.workers != before)
            headers = {"X-API-Key": content.strip()} if content else {}
            statuses: Counter[int] = Counter()

            def asked() -> bool:
                status = httpx.get(f"{running.url}/models", headers=headers).status_code
                return status == 200 or _ready(running, _KEY) == 2

            wait_until(asked, 30)
            for _ in range(_REQUESTS):
                statuses[httpx.get(f"{running.url}/models", headers=headers).status_code] += 1
    return statuses[200]


def _ready(running: Running, key: str) -> int:
    """Return the number of worker processes that are ready."""
    try:
        text = httpx.get(f"{running.url}/metrics", headers={"X-API-Key": key}, timeout=30).text
    except httpx.TransportError:
        return 0
    return round(sum(float(line.split()[1]) for line in text.splitlines() if line.startswith("face_ready ")))
