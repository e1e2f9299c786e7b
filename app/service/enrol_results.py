"""What became of the images of an enrolment: the line of each, and the summary."""

import time

from pydantic import BaseModel, ConfigDict, Field

from app.service.run_summary import RunSummary, Tally, printable

_MOST_PAIRS = 10


class EnrolledPerson(BaseModel):
    """The person of an image.

    Attributes:
        id: id of the person; None if the collection does not have the person.
        name: the name.
        external_id: the external id.
    """

    model_config = ConfigDict(frozen=True)

    id: str | None
    name: str | None
    external_id: str | None


class SimilarPerson(BaseModel):
    """Another person of the collection who is as similar to a face as one who is identified.

    Attributes:
        id: id of the person.
        name: the name.
        similarity: similarity to the most similar face of the person.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str | None
    similarity: float


class EnrolledImage(BaseModel):
    """What became of an image.

    Attributes:
        person: the person.
        face: id of the stored face.
        duplicate_of: id of the face of which the image is a copy, exactly or nearly. Then nothing is stored.
        also_like: another person of the collection, who is probably the same human.
    """

    model_config = ConfigDict(frozen=True)

    person: EnrolledPerson
    face: str | None = Field(None, exclude_if=lambda face: face is None)
    duplicate_of: str | None = Field(None, exclude_if=lambda face: face is None)
    also_like: SimilarPerson | None = Field(None, exclude_if=lambda person: person is None)


class EnrolSummary(RunSummary):
    """Counts the results of an enrolment.

    Attributes:
        people: number of people who were added.
        faces: number of faces that were added.
        duplicates: number of images that are copies of other images of the person.
        present: number of images whose face was in the collection already.
        unchecked: why it is not known which faces are also like another person; None if it is.
    """

    def __init__(self, left_out: Tally) -> None:
        super().__init__(left_out)
        self.people = self.faces = self.duplicates = self.present = 0
        self.unchecked: str | None = None
        self._similar: dict[tuple[str, str], list[float]] = {}
        self._started = time.perf_counter()

    def add_similar(self, person: EnrolledPerson, other: SimilarPerson) -> None:
        """Count a face of a person that is also like another person."""
        pair = _label(person.name, person.id), _label(other.name, other.id)
        self._similar.setdefault(pair, []).append(other.similarity)

    def lines(self) -> list[str]:
        """Return the summary: what was added, the summary of the images, and people who are alike."""
        rate = (self.read + self.failed.total) / max(1e-9, time.perf_counter() - self._started)
        added = (
            f"{_number(self.people, 'person', 'people')} and {_number(self.faces, 'face', 'faces')} added, "
            f"{_number(self.duplicates, 'duplicate', 'duplicates')} not stored, {self.present} enrolled "
            f"before; {rate:.1f} images per second."
        )
        lines = [added, *super().lines(), *self._similar_lines()]
        if self.unchecked is not None:
            lines.append(f"It is not reported which faces are also like another person. {self.unchecked}")
        return lines

    def _similar_lines(self) -> list[str]:
        pairs = sorted(self._similar.items(), key=lambda pair: (-len(pair[1]), -max(pair[1])))
        lines = [
            f"{_number(len(found), 'image', 'images')} of {person} also like {other}, similarity up to "
            f"{max(found):.2f}: one human under two names, or an image in the wrong place?"
            for (person, other), found in pairs[:_MOST_PAIRS]
        ]
        if more := len(pairs) - len(lines):
            lines.append(
                f"{_number(more, 'more pair', 'more pairs')} of people: see also_like in the output."
            )
        return lines


def _label(name: str | None, id: str | None) -> str:
    return printable(name or id or "")


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
