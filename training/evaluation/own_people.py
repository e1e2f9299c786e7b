"""The people that a training run knows, and the calibration of its embedder on other people."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import FARS, Pairs
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.vision.spec import SimilarityCalibration
from training.config.origins import origin_of
from training.config.registry import RUN_FILE, RunError
from training.data.datasets.identities import IdentityImage, find_copies, read_folders
from training.data.prepare.identity_crops import pixel_digest
from training.evaluation import face_vectors
from training.evaluation.calibrate import PopulationRates, calibrate
from training.evaluation.populations import Population, people_of_pairs
from training.evaluation.user_errors import UserError

RECORDS = Path(__file__).parents[1] / "records"
"""The records of the runs behind the shipped nets, by the name of the run."""


@dataclass(frozen=True)
class OwnCalibration:
    """The calibration of a run.

    Attributes:
        calibration: the thresholds and the curve.
        rates: what was measured.
        left_out: the people who are left out, because the run was trained on them or chosen by them.
        copies: number of images that are left out as copies of others.
        undetected: number of images without a detected face.
    """

    calibration: SimilarityCalibration
    rates: PopulationRates
    left_out: list[str]
    copies: int
    undetected: int

    def lines(self) -> list[str]:
        """Return what was left out and which rates are calibrated, for the terminal."""
        fars = [one.far for one in self.calibration.thresholds]
        lines = [
            f"{self.rates.name}: {self.rates.people} people, {self.rates.images} images with a face, "
            f"{self.rates.genuine} genuine and {self.rates.impostors} impostor pairs"
        ]
        if self.left_out:
            shown = ", ".join(self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
            lines.append(
                f"{len(self.left_out)} people are left out, because the run knows people of these names: "
                f"{shown}"
            )
        if self.copies or self.undetected:
            lines.append(f"images left out: {self.copies} copies, {self.undetected} without a face")
        lines.append(
            f"calibrated for FAR {', '.join(f'{far:g}' for far in fars)}; the default is "
            f"{self.calibration.default_far:g}"
        )
        if fars[-1] > FARS[-1]:
            lines.append("Lower rates cannot be measured on so few people.")
        return lines


def calibrate_run(run: Path, people: Path, analyzer: Analyzer) -> OwnCalibration:
    """Return the calibration of the embedder of a run on people whom the run does not know.

    People are compared by the names of their folders. Copies of images are left out.

    Args:
        run: the run's folder.
        people: a folder with a folder of images for each person, or a pairs file in the format of LFW.
        analyzer: the models that detect and align the faces.

    Raises:
        RunError: the run does not record its people, or nobody else is in the folder.
        TooFewPeople: nothing can be measured on these people.
        UserError: there are no folders or images of people, or the pairs file is not in the format.
        FileNotFoundError: the folder, the file or an image is missing.
        BadImage: an image cannot be read.
    """
    population = read_population(people)
    unknown, left_out = without_people(population, known_people(run))
    images = without_copies(unknown.images)
    if not images:
        raise UserError(f"{people} holds no images of people, each under one of them. Add images.")
    embedder = face_vectors.embedder_of(run)
    faces = face_vectors.locate(analyzer, [i.path for i in images], [i.person for i in images])
    pairs = Pairs(embedder, face_vectors.represent(analyzer, embedder, faces), faces.people)
    calibration, (rates,) = calibrate(embedder.spec, {population.name: pairs})
    copies = len(unknown.images) - len(images)
    return OwnCalibration(calibration, rates, left_out, copies, len(faces.undetected))


def detector_of(models: Path) -> Analyzer:
    """Return the default detector of a model folder."""
    names = models_for(models, {"detect": None})
    return Analyzer(model_store.load(models, "cpu", names=names))


def read_population(people: Path) -> Population:
    """Return the people of a folder or of a pairs file.

    Raises:
        UserError: there are no folders of people, or the pairs file is not in the format.
        FileNotFoundError: there is no such folder or file.
    """
    path = people.resolve()
    try:
        images = list(read_folders(path)) if path.is_dir() else people_of_pairs(path.parent, path.name)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Population(path.name, images)


def people_of_model(name: str) -> frozenset[str]:
    """Return the people of the run behind a shipped net, as `SET/PERSON`; none for published weights."""
    record = RECORDS / name
    return (origin_of(record).people or frozenset()) if (record / RUN_FILE).exists() else frozenset()


def known_people(run: Path) -> frozenset[str]:
    """Return the names of the people on whom a run was trained or chosen, without those of their sets.

    Raises:
        RunError: the run, or the one that it started from, does not record them.
    """
    origin = origin_of(run)
    if origin.people is None:
        start = origin.unknown_start
        whose = f"the run {start}, from whose weights it started," if start else "its training"
        raise RunError(
            f"{run} cannot be calibrated or measured on people, because the people of {whose} are not "
            "recorded, and they must be left out. Prepare the people and train again."
        )
    return frozenset(_folder_name(person) for person in origin.people)


def of_known_names(people: Iterable[str], known: frozenset[str]) -> frozenset[str]:
    """Return those of some people who have the name of a known person, whatever its case and their sets.

    Args:
        people: people, as `SET/PERSON` or `PERSON`.
        known: names from `known_people`.
    """
    return frozenset(person for person in people if _folder_name(person) in known)


def without_people(population: Population, known: frozenset[str]) -> tuple[Population, list[str]]:
    """Return the images of a population's other people, and the names of those who are left out.

    Raises:
        RunError: nobody is left.
    """
    people = {image.person for image in population.images}
    left_out = sorted(of_known_names(people, known))
    if people and len(left_out) == len(people):
        raise RunError(
            f"The run was trained on all {len(people)} people of {population.name}, or chosen by them. Give "
            "--calibrate other people."
        )
    images = [image for image in population.images if image.person not in left_out]
    return Population(population.name, images), left_out


def without_copies(images: list[IdentityImage]) -> list[IdentityImage]:
    """Return the images without exact copies; see `find_copies`."""
    digests = [pixel_digest(image) for image in tqdm(images, desc="copies", unit="image", disable=None)]
    return [images[i] for i in find_copies([image.person for image in images], digests).kept]


def _folder_name(person: str) -> str:
    return person.rpartition("/")[2].casefold()
