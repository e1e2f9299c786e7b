"""Small requests beside large ones: one client sends `/detect` with 320 x 240 pixels, others embed crowds.

The crowds are photos of the project, tiled to 16 megapixels with about 150 faces. A second crowd has one
megapixel and about 150 faces, so that only the detector finds out that it is large. Forty clients that send
it without a pause are an ordinary overload by small images, and not part of the scenario.
"""

import asyncio
import itertools

import cv2
import numpy as np

from benchmarks.clients import Outcome, closed
from benchmarks.faults.service import Service
from benchmarks.pictures import Ask, jpeg, photographs

_SECONDS = 24.0
_ALONE_S = 5.0
_CROWDS = {"16 megapixels": (4619, 3464, 300), "1 megapixel": (1200, 900, 80)}
"""Width and height of the crowds, and side of their photos, in pixels."""

_BESIDE = (
    ("16 megapixels", 1, 250.0),
    ("16 megapixels", 4, 250.0),
    ("16 megapixels", 40, 2000.0),
    ("1 megapixel", 4, 250.0),
)
"""Crowd, number of clients that embed it, and largest median of the small requests in milliseconds."""


def run(service: Service) -> list[tuple[str, str]]:
    """Return the times of small requests, and the rate of the large ones, by the number of large clients."""
    rows = []
    small = [Ask("/detect", (jpeg(320, 240, 2),))]
    with service.start() as running:
        alone = asyncio.run(closed(running.url, itertools.cycle(small), 1, seconds=_ALONE_S))
        rows.append(("small alone", _times(alone)))
        for name, clients, limit in _BESIDE:
            crowd = [Ask("/embed", (crowd_jpeg(*_CROWDS[name]),))]
            little, large = asyncio.run(_both(running.url, small, crowd, clients))
            rows.append((f"small beside {clients} x {name}", _times(little)))
            rate = f"{large.status.count(200) / large.seconds:.2f}/s, {large.statuses}"
            rows.append((f"the {clients} x {name}", rate))
            met = 200 in little.statuses and little.milliseconds(50)[0] < limit
            service.require(met, f"small requests beside {clients} x {name} in {limit:.0f} ms")
    return rows


def crowd_jpeg(width: int, height: int, side: int) -> bytes:
    """Return a JPEG of a size in pixels, covered by photos of faces of `side` x `side` pixels each."""
    photos = [
        cv2.resize(_square(photo), (side, side), interpolation=cv2.INTER_AREA) for photo in photographs()
    ]
    canvas = np.full((height, width, 3), 96, np.uint8)
    corners = itertools.product(range(0, height - side + 1, side), range(0, width - side + 1, side))
    for number, (y, x) in enumerate(corners):
        canvas[y : y + side, x : x + side] = photos[number % len(photos)]
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _square(photo: np.ndarray) -> np.ndarray:
    side = min(photo.shape[:2])
    left = (photo.shape[1] - side) // 2
    return photo[:side, left : left + side]


async def _both(url: str, small: list[Ask], large: list[Ask], clients: int) -> tuple[Outcome, Outcome]:
    """Return the results of one client with small requests, and of many with large ones."""
    crowd = asyncio.create_task(closed(url, itertools.cycle(large), clients, seconds=_SECONDS))
    await asyncio.sleep(_SECONDS / 6)
    little = await closed(url, itertools.cycle(small), 1, seconds=_SECONDS * 4 / 6)
    return little, await crowd


def _times(outcome: Outcome) -> str:
    p50, p95 = outcome.milliseconds(50, 95)
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {outcome.statuses}"
