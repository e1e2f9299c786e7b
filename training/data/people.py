"""Pictures of known people: folders of people, LFW, and CelebA with its identity file.

Every reader gives the pictures in order of person and name, so that a set is the same on every machine.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from training.data.lfw import read_pairs

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

CELEBA_FOLDERS = ("img_celeba", "img_align_celeba", "Img/img_celeba", "Img/img_align_celeba", ".")
"""Where CelebA's pictures may lie beside its identity file, in order of preference."""


@dataclass(frozen=True)
class Picture:
    """A picture of one person, and its address: the file's path under the folder of the data."""

    path: Path
    person: str
    address: str


def read_folders(root: Path) -> Iterator[Picture]:
    """Folders of people, each person's pictures in one of the person's name. Raises ValueError for none."""
    people = sorted(path for path in root.iterdir() if path.is_dir())
    if not people:
        raise ValueError(f"{root} holds no folders of people")
    for person in people:
        for path in sorted(person.iterdir()):
            if path.suffix.lower() in PICTURES:
                yield _picture(path, person.name, root)


def read_celeba(root: Path) -> Iterator[Picture]:
    """CelebA (Liu et al., 2015): `identity_CelebA.txt`, a picture and its person's number a line.

    Raises ValueError naming the line for anything else, and FileNotFoundError where a picture is missing.
    """
    labels = next((p for p in (root, root / "Anno") if (p / "identity_CelebA.txt").exists()), root)
    lines = (labels / "identity_CelebA.txt").read_text().splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if len(cells) != 2 or not cells[1].isdigit():
            raise ValueError(f"{labels / 'identity_CelebA.txt'}, line {number}: no picture and number")
        rows.append((int(cells[1]), cells[0]))
    folder = next((root / f for f in CELEBA_FOLDERS if rows and (root / f / rows[0][1]).exists()), None)
    if folder is None:
        raise FileNotFoundError(f"{root} holds an identity file and not its pictures")
    for person, name in sorted(rows):
        yield _picture(folder / name, f"{person:05d}", root)


def read_lfw(root: Path) -> Iterator[Picture]:
    """LFW's people but for those of the pairs files beside them: who is tested on is never trained on."""
    tested = {
        path.parent.name
        for file in sorted(root.glob("pairs*.txt"))
        for pair in read_pairs(root, file.name)
        for path in (pair.a, pair.b)
    }
    return (picture for picture in read_folders(root) if picture.person not in tested)


READERS: Mapping[str, Callable[[Path], Iterator[Picture]]] = {
    "folders": read_folders,
    "celeba": read_celeba,
    "lfw": read_lfw,
}
"""Every way a set of people is laid out, by the name `prepare_people` takes."""


def read_people(sources: list[str]) -> list[Picture]:
    """The pictures of every `kind:folder`; people and addresses begin with the folder's name."""
    pictures = []
    for source in sources:
        kind, _, folder = source.partition(":")
        if kind not in READERS or not folder:
            raise ValueError(f"no source {source!r}; it is one of {', '.join(READERS)}, and `:folder`")
        root = Path(folder)
        pictures += [
            replace(p, person=f"{root.name}/{p.person}", address=f"{root.name}/{p.address}")
            for p in READERS[kind](root)
        ]
    return pictures


class Copies(NamedTuple):
    """Places of pictures: those to keep, and the exact copies left out, across people and within one."""

    kept: list[int]
    across: list[int]
    within: list[int]


def copies(people: Sequence[str], digests: Sequence[bytes]) -> Copies:
    """Finds pictures that stand twice, by the digests of their pixels.

    Of a picture that stands under several people nobody knows whose it is: all its copies go. Of one that a
    person has several times, the first stays.
    """
    owners: dict[bytes, set[str]] = defaultdict(set)
    for person, digest in zip(people, digests, strict=True):
        owners[digest].add(person)
    found, seen = Copies([], [], []), set()
    for i, digest in enumerate(digests):
        if len(owners[digest]) > 1:
            found.across.append(i)
        elif digest in seen:
            found.within.append(i)
        else:
            seen.add(digest)
            found.kept.append(i)
    return found


def held_out(people: Iterable[str], count: int, seed: int) -> set[str]:
    """So many of the people, by a hash of the name: others joining the set does not reshuffle the rest."""

    def draw(person: str) -> bytes:
        return hashlib.sha256(f"{seed}/{person}".encode()).digest()

    return set(sorted(set(people), key=draw)[:count])


def _picture(path: Path, person: str, root: Path) -> Picture:
    return Picture(path, person, path.relative_to(root).as_posix())
