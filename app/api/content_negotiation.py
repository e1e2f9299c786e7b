"""Content negotiation: chooses the media type of a response by the `Accept` header (RFC 9110)."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

JSON = "application/json"
PROBLEM = "application/problem+json"
PNG = "image/png"
JPEG = "image/jpeg"

_PAGES = ("text/html", "application/xhtml+xml")
"""Media types of pages. A browser that opens an address accepts them with the highest quality."""


def negotiate(headers: Headers, offered: Sequence[str]) -> str:
    """Return the offered media type that the `Accept` header prefers.

    The highest quality wins. Among equal qualities the most specific range of the header wins, then the first
    one in the header. Without an `Accept` header, and for `*/*`, the result is the first offered type. A
    header that accepts only problem+json gets JSON, and so does one that prefers no image to a page: browsers
    list images when they open an address, although they do not ask for one.

    Args:
        headers: the headers of the request.
        offered: the media types that the route offers, preferred one first.

    Raises:
        HTTPException: 406, if no offered type is acceptable.
    """
    asked = _parse(",".join(headers.getlist("accept")))
    if not asked:
        return offered[0]
    ranks = {media: _rank(media, asked) for media in offered}
    chosen = max(offered, key=ranks.__getitem__)  # the first one of equal rank
    best = ranks[chosen][0]
    if best > 0:
        json_too = JSON in offered and ranks[JSON][0] > 0
        return JSON if json_too and _page_quality(asked) >= best else chosen
    if JSON in offered and any(name == PROBLEM and quality > 0 for name, quality in asked):
        return JSON
    raise HTTPException(
        406, f"The header Accept allows none of the media types of this route: {', '.join(offered)}."
    )


def _page_quality(asked: list[tuple[str, float]]) -> float:
    """Return the highest quality of a page that the header names, 0 if it names none."""
    return max((quality for name, quality in asked if name in _PAGES), default=0.0)


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
