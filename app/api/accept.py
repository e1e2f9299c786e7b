"""Content negotiation: which of the types an endpoint offers a request's Accept header asks for."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

JSON = "application/json"
PROBLEM = "application/problem+json"
PNG = "image/png"
JPEG = "image/jpeg"


def choose(headers: Headers, offered: Sequence[str]) -> str:
    """The offered type with the highest quality; of equals the one named most exactly, then the first named.

    Without an Accept header, and for `*/*`, the first offered; JSON where it asks for nothing offered but for
    problems, which are JSON too. Raises HTTPException 406 where none will do.
    """
    asked = _parse(",".join(headers.getlist("accept")))
    if not asked:
        return offered[0]
    best: tuple[float, int, int] | None = None
    chosen = None
    for media in offered:
        rank = _rank(media, asked)
        if rank[0] > 0 and (best is None or rank > best):
            best, chosen = rank, media
    if chosen is None and JSON in offered and any(name == PROBLEM and q > 0 for name, q in asked):
        return JSON
    if chosen is None:
        raise HTTPException(
            406, f"This address answers with {' or '.join(offered)}; Accept asks for none of them."
        )
    return chosen


def _rank(media: str, asked: list[tuple[str, float]]) -> tuple[float, int, int]:
    """Quality, exactness and place (earlier is greater) of the most exact range that holds the type."""
    ranges = (media, media.split("/")[0] + "/*", "*/*")
    found = (0.0, 0, 0)
    for place, (name, quality) in enumerate(asked):
        if name in ranges:
            exactness = 3 - ranges.index(name)
            if exactness > found[1]:
                found = (quality, exactness, -place)
    return found


def _parse(header: str) -> list[tuple[str, float]]:
    ranges = []
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            ranges.append(("*/*" if name == "*" else name, _quality(parameters)))
    return ranges


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
