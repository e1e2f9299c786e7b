"""The populations of the calibration with the vectors of an embedder; each person is in one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.pipeline.analyzer import Analyzer
from app.pipeline.embedder import Embedder
from app.runtime import model_store
from app.runtime.manifest import models_for
from training.evaluation.galleries import LabelledFaces, label_faces, same_people
from training.evaluation.populations import FaceVectors, read_populations, vectors_of

LFW, CELEBA, VGGFACE2 = "LFW View 1", "CelebA", "VGGFace2"
"""Names of the populations."""

ALL = "all three"
"""Name of the faces of all populations together."""


@dataclass(frozen=True)
class EmbeddedPopulations:
    """An embedder, and its vectors of the populations.

    Attributes:
        embedder: the embedder.
        populations: the faces of each population, by its name.
    """

    embedder: Embedder
    populations: dict[str, FaceVectors]

    def labelled(self) -> dict[str, LabelledFaces]:
        """Return the faces of each population, and of all together."""
        faces = {name: label_faces([one]) for name, one in self.populations.items()}
        return faces | {ALL: label_faces([joined(self.populations)])}


def load(data: Path, models: Path, cache: Path, model: str) -> EmbeddedPopulations:
    """Return an embedder of the store, and its vectors of the populations."""
    names = models_for(models, {"detect": None}) | models_for(models, {"embed": model})
    analyzer = Analyzer(model_store.load(models, "cpu", names=names))
    people = read_populations(data)
    return EmbeddedPopulations(
        analyzer.embedder(model), {one.name: vectors_of(analyzer, model, one, cache) for one in people}
    )


def joined(populations: Mapping[str, FaceVectors]) -> FaceVectors:
    """Return the faces of all populations as one."""
    vectors, people = (np.concatenate(part) for part in zip(*populations.values(), strict=True))
    return FaceVectors(vectors, people)


def load_all(data: Path, models: Path, cache: Path, names: Sequence[str]) -> list[EmbeddedPopulations]:
    """Return the vectors of several embedders; a person of two populations has one name.

    Two people are one if the mean similarity of their faces by the first embedder reaches its threshold for
    the lowest calibrated rate.
    """
    loaded = [load(data, models, cache, name) for name in names]
    same = people_in_two(loaded[0])
    return [replace(one, populations=merged(one.populations, same)) for one in loaded]


def people_in_two(one: EmbeddedPopulations) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the people who are in two populations, by population and name."""
    threshold = one.embedder.spec.thresholds[-1].threshold
    found: dict[tuple[str, str], tuple[str, str]] = {}
    names = [*one.populations]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pairs = same_people(one.populations[first], one.populations[second], threshold)
            found |= {(second, b): (first, a) for b, a in pairs.items()}
    return found


def merged(
    populations: Mapping[str, FaceVectors], same: Mapping[tuple[str, str], tuple[str, str]]
) -> dict[str, FaceVectors]:
    """Return the populations with unique names of people, one name for those in two populations."""
    return {
        name: FaceVectors(
            faces.vectors,
            np.array(
                ["/".join(same.get((name, str(person)), (name, str(person)))) for person in faces.people]
            ),
        )
        for name, faces in populations.items()
    }
