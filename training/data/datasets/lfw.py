"""LFW (Huang et al., 2007): folders of people and the official pairs files, View 1 and View 2."""

from dataclasses import dataclass
from pathlib import Path

from training.data.datasets.label_text import BadLabelFile, quoted, read_lines


@dataclass(frozen=True)
class Pair:
    """Two images of a verification protocol.

    Attributes:
        a: the first image file.
        b: the second image file.
        same: whether both show the same person.
        fold: the fold of the pair; 0 if the file has no folds.
    """

    a: Path
    b: Path
    same: bool
    fold: int = 0


def read_pairs(root: Path, name: str = "pairsDevTest.txt") -> list[Pair]:
    """Return the pairs of a pairs file in its order.

    The first line is `n` (View 1: n genuine, then n impostor pairs), or `folds n` (View 2: so many of each
    for every fold).

    Args:
        root: the folder of LFW.
        name: name of the pairs file.

    Raises:
        FileNotFoundError: there is no such file.
        BadLabelFile: the file is not in this format; the message has the line.
    """
    path = root / name
    (first, head), *lines = read_lines(path) or [(1, "")]
    counts = [_whole(path, first, cell) for cell in head.split()]
    if len(counts) not in (1, 2):
        raise BadLabelFile(path, f"The first line is {quoted(head)}. It must be `n` or `folds n`.", first)
    folds, count = counts if len(counts) == 2 else (1, counts[0])
    if len(lines) != 2 * folds * count:
        raise BadLabelFile(
            path, f"The file has {len(lines)} pairs; its first line announces {2 * folds * count}."
        )
    pairs = []
    for i, (number, line) in enumerate(lines):
        # Names may have blanks where tabs separate the cells.
        cells = [cell.strip() for cell in line.split("\t" if "\t" in line else None)]
        if len(cells) not in (3, 4):
            raise BadLabelFile(path, f"There are {len(cells)} cells; 3 or 4 are expected.", number)
        same = len(cells) == 3
        others = (cells[0], cells[2]) if same else (cells[2], cells[3])
        a, b = (_path(root, person, _whole(path, number, n)) for person, n in (cells[:2], others))
        pairs.append(Pair(a, b, same, i // (2 * count)))
    return pairs


def _whole(path: Path, line: int, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadLabelFile(path, f"A whole number is expected, not {quoted(text)}.", line)
    return int(text)


def _path(root: Path, person: str, number: int) -> Path:
    return root / person / f"{person}_{number:04d}.jpg"
