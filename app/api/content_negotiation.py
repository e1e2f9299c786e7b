"""Content negotiation: chooses the media type of a response by the `Accept` header (RFC 9110)."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

JSON = "application/json"
PROBLEM = "application/problem+json"
PNG = "image/png"
JPEG = "image/jpeg"


def negotiate(headers: Headers, offered: Sequence[str]) -> str:
    """Return the offered media type that the `Accept` header prefers.

    The highest quality wins. Among equal qualities the most specific range of the header wins, then the first
    one in the header. Without an `Accept` header, and for `*/*`, the result is the first offered type. A
    header that accepts only problem+json gets JSON.

    Args:
        headers: the headers of the request.
        offered: the media types that the route offers, preferred one first.

    Raises:
        HTTPException: 406, if no offered type is acceptable.
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
            406,
            f"The header Accept allows none of the media types of this route: {', '.join(offered)}.",
        )
    return chosen


def _rank(media: str, asked: list[tuple[str, float]]) -> tuple[float, int, int]:
    """Return quality, specificity and negative position of the most specific range that matches the type."""
    ranges = (media, media.split("/")[0] + "/*", "*/*")
    rank = (0.0, 0, 0)
    for position, (name, quality) in enumerate(asked):
        if name in ranges:
            specificity = 3 - ranges.index(name)
            if specificity > rank[1]:
                rank = (quality, specificity, -position)
    return rank


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
