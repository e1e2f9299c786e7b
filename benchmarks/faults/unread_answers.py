"""40 clients that ask for drawn answers of 28 MB and do not read them."""

import asyncio
import time

import cv2
import numpy as np

from benchmarks.faults.attack import attacked, head, observe
from benchmarks.faults.service import Service, wait_until

_SIDE = 3100


def run(service: Service) -> list[tuple[str, str]]:
    """Return the memory in use, and the responses to healthy requests."""
    with service.start() as running:
        before = running.memory_mb()
        with attacked(running.port, ask, 40, settle_s=1):
            wait_until(lambda: running.memory_mb("VmHWM") > before + 300, 60)
            health = observe(running.url, 40)
        peak = running.memory_mb("VmHWM")
        time.sleep(10)
        after = running.memory_mb()
    service.require(set(health.statuses) == {200}, health.detect)
    service.require(peak < before + 900, f"peak {peak:.0f} MiB")
    return [
        ("memory before", f"{before:.0f} MiB"),
        ("peak", f"{peak:.0f} MiB"),
        ("10 s after", f"{after:.0f} MiB"),
        ("/detect", health.detect),
        ("/livez", health.live),
    ]


async def ask(port: int, client: int) -> None:
    """Ask for a drawn answer, and read its status only."""
    image = np.random.default_rng(client).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    body = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()
    sent = head(
        "Content-Type: image/jpeg",
        "Accept: image/png",
        f"Content-Length: {len(body)}",
        path="/detect?min_face_size=1000",
    )
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        try:
            writer.write(sent + body)
            line = await reader.readline()
            if b" 200 " not in line:
                await asyncio.sleep(1)
                continue
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(70)
        except OSError:
            pass
        finally:
            writer.close()
