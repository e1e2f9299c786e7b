"""Assignment: which person each face of one image is. Two faces never get the same person."""

from collections.abc import Sequence

from app.gallery.index import Match


def assign(matches: Sequence[Sequence[Match]], threshold: float) -> list[Match | None]:
    """Return the match of each face of one image; None for an unknown face.

    The pairs of face and person are taken by descending similarity, as long as both are free.

    Args:
        matches: the most similar people of each face.
        threshold: minimum similarity.
    """
    pairs = [
        (match, face) for face, row in enumerate(matches) for match in row if match.similarity >= threshold
    ]
    out: list[Match | None] = [None] * len(matches)
    taken: set[int] = set()
    for match, face in sorted(pairs, key=lambda pair: (-pair[0].similarity, pair[1], pair[0].person)):
        if out[face] is None and match.person not in taken:
            out[face] = match
            taken.add(match.person)
    return out
