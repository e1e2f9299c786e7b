"""The least time of requests and calls that take turns."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import httpx
from tqdm import tqdm

from training.evaluation.user_errors import UserError

Times = dict[str, float]
"""Milliseconds by stage, where `whole` is the time that the caller sees; and `faces`, the number of faces."""


def fastest(asks: Sequence[Callable[[], Times]], rounds: int) -> list[Times]:
    """Return the least milliseconds of each stage for each function, after a round that does not count.

    Args:
        asks: the functions.
        rounds: number of rounds; in each of them all functions take turns.
    """
    turns = [[ask() for ask in asks] for _ in tqdm(range(rounds + 1), unit="round", disable=None)]
    return [
        {stage: min(turn[i].get(stage, 0.0) for turn in turns[1:]) for stage in turns[1][i]}
        for i in range(len(asks))
    ]


def column(times: Sequence[Times], stage: str) -> list[float]:
    """Return the milliseconds of one stage; 0 if a request did not reach it."""
    return [one.get(stage, 0.0) for one in times]


def timed(run: Callable[[], object], count: int) -> Callable[[], Times]:
    """Return a function that calls another one and returns the milliseconds per item."""

    def ask() -> Times:
        begun = perf_counter()
        run()
        return {"whole": (perf_counter() - begun) * 1e3 / count}

    return ask


class Client:
    """Sends requests one after another.

    Args:
        url: address of the service.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)

    def answer(self, path: str, image: bytes) -> dict[str, Any]:
        """Return the answer to an image."""
        return self._post(path, content=image, headers={"content-type": "image/jpeg"})

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Returns:
            The answer, as it was sent in JSON.

        Raises:
            UserError: the service refused the request, or an image of a batch.
        """
        answer = self._http.post(path, **body)
        read = answer.json()
        problems = [one for one in [read, *read.get("results", [])] if "type" in one]
        if problems:
            raise UserError(f"The service refused a request to {path}: {problems[0]}.")
        return read

    def one(self, path: str, image: bytes) -> Callable[[], Times]:
        """Return a function that sends an image and returns the times."""

        def ask() -> Times:
            begun = perf_counter()
            answer = self.answer(path, image)
            return {
                **answer["timing_ms"],
                "whole": (perf_counter() - begun) * 1e3,
                "faces": len(answer["faces"]),
            }

        return ask

    def batch(self, path: str, images: Sequence[bytes]) -> Callable[[], Times]:
        """Return a function that sends a batch and returns the time per image."""
        files = [("image", image) for image in images]

        def ask() -> Times:
            begun = perf_counter()
            self._post(path, files=files)
            return {"whole": (perf_counter() - begun) * 1e3 / len(images)}

        return ask
