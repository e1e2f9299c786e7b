"""Images of known people: folders of people, LFW, and CelebA with its identity file.

All readers return the images in the order of person and name, so a set is the same on every machine.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from training.data.datasets.images import IMAGE_SUFFIXES
from training.data.datasets.label_text import BadLabelFile, quoted, read_lines
from training.data.datasets.lfw import read_pairs
from training.data.datasets.splits import hash_number

logger = logging.getLogger(__name__)

CELEBA_FOLDERS = ("img_celeba", "img_align_celeba", "Img/img_celeba", "Img/img_align_celeba", ".")
"""Folders of CelebA's images beside its identity file, in order of preference."""


@dataclass(frozen=True)
class IdentityImage:
    """An image of one person.

    Attributes:
        path: the image file.
        person: name or number of the person.
        address: path of the file under the folder of its dataset.
    """

    path: Path
    person: str
    address: str


def read_folders(root: Path) -> Iterator[IdentityImage]:
    """Yield the images of folders of people; the name of a folder is the person's name.

    A warning names what is left out: folders in the folders of people, and files of other types.

    Args:
        root: the folder of the folders.

    Yields:
        The images; their files are not opened.

    Raises:
        ValueError: there is no folder.
    """
    people = sorted(path for path in root.iterdir() if path.is_dir())
    if not people:
        raise ValueError(f"{root} holds no folders of people.")
    for person in people:
        for path in sorted(person.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield _image(path, person.name, root)
    _warn_of_others(root, people)


def _warn_of_others(root: Path, people: list[Path]) -> None:
    others = [path for person in people for path in person.iterdir() if not path.name.startswith(".")]
    nested = [path.relative_to(root).as_posix() for path in others if path.is_dir()]
    files = [path.name for path in others if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES]
    if nested:
        logger.warning(
            "%s: %d folders in the folders of people are not read, such as %s. Put the images of a person "
            "directly into one folder.",
            root,
            len(nested),
            nested[0],
        )
    if files:
        types = ", ".join(IMAGE_SUFFIXES)
        logger.warning("%s: %d files are not read, such as %s. Types: %s.", root, len(files), files[0], types)


def read_celeba(root: Path) -> Iterator[IdentityImage]:
    """Yield the images of CelebA (Liu et al., 2015).

    A line of `identity_CelebA.txt` has the name of an image and the number of its person.

    Args:
        root: the folder with the identity file, or with `Anno/`.

    Yields:
        The images; their files are not opened.

    Raises:
        BadLabelFile: the identity file is not in this format; the message has the line.
        FileNotFoundError: the images or the identity file are missing.
    """
    folder = next((p for p in (root, root / "Anno") if (p / "identity_CelebA.txt").exists()), root)
    labels = folder / "identity_CelebA.txt"
    rows = []
    for number, line in read_lines(labels):
        cells = line.split()
        if len(cells) != 2 or not (cells[1].isascii() and cells[1].isdecimal()):
            cause = f"The name of an image and a number are expected, not {quoted(line)}."
            raise BadLabelFile(labels, cause, number)
        rows.append((int(cells[1]), cells[0]))
    if not rows:
        raise BadLabelFile(labels, "The file has no lines.")
    images = next((root / f for f in CELEBA_FOLDERS if (root / f / rows[0][1]).exists()), None)
    if images is None:
        raise FileNotFoundError(f"{root} holds an identity file, but not its images.")
    for person, name in sorted(rows):
        yield _image(images / name, f"{person:05d}", root)


def read_lfw(root: Path) -> Iterator[IdentityImage]:
    """Return the images of LFW without the people of the pairs files beside them, who are for testing."""
    tested = {
        path.parent.name
        for file in sorted(root.glob("pairs*.txt"))
        for pair in read_pairs(root, file.name)
        for path in (pair.a, pair.b)
    }
    return (image for image in read_folders(root) if image.person not in tested)


READERS: Mapping[str, Callable[[Path], Iterator[IdentityImage]]] = {
    "folders": read_folders,
    "celeba": read_celeba,
    "lfw": read_lfw,
}
"""The readers by the name that `training.prepare identities --source` takes."""


def read_people(sources: list[str]) -> list[IdentityImage]:
    """Return the images of several sources; people and addresses begin with the name of the folder.

    Args:
        sources: `kind:folder`, where the kind is a key of `READERS`.

    Raises:
        ValueError: a source is not in this form, or its content is not in the expected format.
        FileNotFoundError: a folder or file is missing.
    """
    images: list[IdentityImage] = []
    for source in sources:
        kind, _, folder = source.partition(":")
        if kind not in READERS or not folder:
            kinds = " or ".join(f"{kind}:FOLDER" for kind in READERS)
            raise ValueError(f"There is no source {source!r}. Give {kinds}.")
        root = Path(folder)
        before = len(images)
        images += [
            replace(image, person=f"{root.name}/{image.person}", address=f"{root.name}/{image.address}")
            for image in READERS[kind](root)
        ]
        if len(images) == before:
            raise ValueError(f"The folders of {root} hold no images ({', '.join(IMAGE_SUFFIXES)}).")
    return images


class Copies(NamedTuple):
    """Indices of images.

    Attributes:
        kept: images to keep.
        across: exact copies of an image under several people.
        within: exact copies of another image of the same person.
    """

    kept: list[int]
    across: list[int]
    within: list[int]


def find_copies(people: Sequence[str], digests: Sequence[bytes]) -> Copies:
    """Return the exact copies among images.

    If an image has several people, its person is unknown, and none of its copies is kept. If a person has an
    image several times, the first is kept.

    Args:
        people: the person of each image.
        digests: a digest of the pixels of each image.
    """
    owners: dict[bytes, set[str]] = defaultdict(set)
    for person, digest in zip(people, digests, strict=True):
        owners[digest].add(person)
    copies, kept = Copies([], [], []), set()
    for i, digest in enumerate(digests):
        if len(owners[digest]) > 1:
            copies.across.append(i)
        elif digest in kept:
            copies.within.append(i)
        else:
            kept.add(digest)
            copies.kept.append(i)
    return copies


def held_out(people: Iterable[str], validation: float, seed: int) -> set[str]:
    """Return the people for validation: those with two images and the lowest hash of the name.

    So an additional person replaces at most one of them.

    Args:
        people: the person of each image.
        validation: below 1 the share of the people, from 1 on their number.
        seed: changes the selection.

    Raises:
        ValueError: fewer than two people are left for validation or for training.
    """
    images = Counter(people)
    several = [person for person, count in images.items() if count > 1]
    count = int(validation) if validation >= 1 or not validation else max(2, round(len(images) * validation))
    if not 2 <= count <= min(len(several), len(images) - 2):
        raise ValueError(
            f"--validation {validation:g} is {count} people. There are {len(images)} people, "
            f"{len(several)} of them "
            "with two or more images. Validation needs two people with two images, and training two other "
            "people."
        )
    return set(sorted(several, key=lambda person: hash_number(person, seed))[:count])


def _image(path: Path, person: str, root: Path) -> IdentityImage:
    return IdentityImage(path, person, path.relative_to(root).as_posix())
