"""Names that a request misspells."""

from collections.abc import Iterable
from difflib import get_close_matches

_CUTOFF = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a name; None if none is like it.

    Case, hyphens, underscores and brackets do not count.

    Args:
        name: the name.
        known: the known names.
    """
    plain = {_plain(word): word for word in known}
    found = get_close_matches(_plain(name[:80]), plain, 1, _CUTOFF)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum() or sign == "/")
