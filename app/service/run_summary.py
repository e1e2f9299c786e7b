"""The summary of a run on many files: what was read, what failed, and what was left out."""

from dataclasses import dataclass, field

_MAX_NAMES = 5
_MAX_LENGTH = 120


@dataclass
class _Group:
    count: int = 0
    names: list[str] = field(default_factory=list)


class Tally:
    """Counts files by reason, and keeps the first names of each reason."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    @property
    def total(self) -> int:
        """Number of files."""
        return sum(group.count for group in self._groups.values())

    def add(self, reason: str, name: str) -> None:
        """Count a file."""
        group = self._groups.setdefault(reason, _Group())
        group.count += 1
        if len(group.names) < _MAX_NAMES:
            group.names.append(name)

    def lines(self, heading: str) -> list[str]:
        """Return one line per reason: the number of files and the first names.

        Args:
            heading: text between the number and the reason.
        """
        found = []
        for reason, group in self._groups.items():
            more = group.count - len(group.names)
            names = ", ".join(map(printable, group.names)) + (f" and {more} more" if more else "")
            found.append(f"{group.count} {heading} {reason}: {names}.")
        return found


class RunSummary:
    """Counts the results of a run.

    Args:
        left_out: the files and folders that the search left out.

    Attributes:
        read: number of images with a result.
        failed: the files and folders that failed, by reason.
    """

    def __init__(self, left_out: Tally) -> None:
        self.read = 0
        self.failed = Tally()
        self._left_out = left_out

    def lines(self) -> list[str]:
        """Return the summary: the totals, then one line per reason."""
        images = "1 image" if self.read == 1 else f"{self.read} images"
        totals = f"{images} read, {self.failed.total} failed, {self._left_out.total} left out."
        return [totals, *self.failed.lines("failed:"), *self._left_out.lines("left out:")]


def printable(name: str) -> str:
    """Return a file name for a terminal: on one line, with control characters and invalid bytes escaped."""
    text = name if name.isprintable() else repr(name)
    half = _MAX_LENGTH // 2
    return text if len(text) <= _MAX_LENGTH else f"{text[:half]}...{text[-half:]}"
