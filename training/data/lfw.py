"""LFW (Huang et al., 2007): folders of people and the official pairs files, View 1 and View 2."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """Two pictures, whether they show one person, and the pair's fold (0 where the file has none)."""

    a: Path
    b: Path
    same: bool
    fold: int = 0


def read_pairs(root: Path, name: str = "pairsDevTest.txt") -> list[Pair]:
    """The pairs of a pairs file under an LFW folder, in its order.

    The first line is `n` (View 1: n genuine, then n impostor pairs) or `folds n` (View 2: that many for
    each fold). Raises ValueError naming the line for anything else.
    """
    path = root / name
    lines = path.read_text().splitlines()
    head = [int(v) for v in lines[0].split()]
    folds, each = (1, head[0]) if len(head) == 1 else (head[0], head[1])
    pairs = []
    for number, line in enumerate(lines[1 : 1 + 2 * folds * each], start=2):
        cells = line.split()
        fold = (number - 2) // (2 * each)
        if len(cells) == 3:
            person, i, j = cells
            pairs.append(Pair(_path(root, person, i), _path(root, person, j), True, fold))
        elif len(cells) == 4:
            pairs.append(Pair(_path(root, cells[0], cells[1]), _path(root, cells[2], cells[3]), False, fold))
        else:
            raise ValueError(f"{path}, line {number}: {len(cells)} cells where 3 or 4 belong")
    if len(pairs) != 2 * folds * each:
        raise ValueError(f"{path}: {len(pairs)} pairs where its first line promises {2 * folds * each}")
    return pairs


def _path(root: Path, person: str, number: str) -> Path:
    return root / person / f"{person}_{int(number):04d}.jpg"
