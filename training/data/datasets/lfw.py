"""LFW (Huang et al., 2007): folders of people and the official pairs files, View 1 and View 2."""

from dataclasses import dataclass
from pathlib import Path


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
        ValueError: the file is not in this format; the message has the line.
    """
    path = root / name
    lines = path.read_text().splitlines()
    head = [int(v) for v in lines[0].split()]
    folds, count = (1, head[0]) if len(head) == 1 else (head[0], head[1])
    pairs = []
    for number, line in enumerate(lines[1 : 1 + 2 * folds * count], start=2):
        cells = line.split()
        fold = (number - 2) // (2 * count)
        if len(cells) == 3:
            person, i, j = cells
            pairs.append(Pair(_path(root, person, i), _path(root, person, j), True, fold))
        elif len(cells) == 4:
            pairs.append(Pair(_path(root, cells[0], cells[1]), _path(root, cells[2], cells[3]), False, fold))
        else:
            raise ValueError(f"{path}, line {number}: there are {len(cells)} cells; 3 or 4 are expected.")
    if len(pairs) != 2 * folds * count:
        raise ValueError(f"{path} has {len(pairs)} pairs; its first line announces {2 * folds * count}.")
    return pairs


def _path(root: Path, person: str, number: str) -> Path:
    return root / person / f"{person}_{int(number):04d}.jpg"
