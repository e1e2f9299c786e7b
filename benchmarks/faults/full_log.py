"""Send 200 requests to a service whose standard error is a full device, and read its count of lost lines."""

import re

import httpx

from benchmarks.faults.service import Service

_REQUESTS = 200
_ON_FULL_DEVICE = ("sh", "-c", 'exec "$@" 2>/dev/full', "sh")


def run(service: Service) -> list[tuple[str, str]]:
    """Return the value of face_log_dropped_total."""
    with (
        service.start(prefix=_ON_FULL_DEVICE, log_level="info") as running,
        httpx.Client(base_url=running.url) as client,
    ):
        for _ in range(_REQUESTS):
            client.get("/livez")
        text = client.get("/metrics").text
    found = re.search(r"^face_log_dropped_total (\S+)$", text, re.MULTILINE)
    lost = float(found[1]) if found else 0.0
    service.require(lost >= _REQUESTS, f"{lost:.0f} lost lines are counted")
    return [(f"counted lines after {_REQUESTS} requests", f"{lost:.0f}")]
