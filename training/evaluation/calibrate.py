"""Calibrate an embedder on several populations, and measure its thresholds on each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.pipeline.calibration import (
    DEFAULT_FAR,
    FARS,
    MIN_PAIRS_OF_PEOPLE,
    MeasuredRates,
    Pairs,
    threshold_at_far,
)
from app.pipeline.platt import fit_probability
from app.vision.spec import Calibration, ComparedSpec, SimilarityCalibration
from training.evaluation.user_errors import UserError
from training.exporting.calibration import read_calibration, write_calibration


class TooFewPeople(UserError):
    """An embedder cannot be calibrated on these people. The message says why."""


@dataclass(frozen=True)
class PopulationRates:
    """The rates of one population at the calibrated thresholds.

    Attributes:
        name: name of the population.
        people: number of people.
        images: number of images with a face.
        genuine: number of genuine pairs.
        impostors: number of impostor pairs.
        rates: the measured rates by calibrated false accept rate.
    """

    name: str
    people: int
    images: int
    genuine: int
    impostors: int
    rates: dict[float, MeasuredRates]


def calibrate(
    spec: ComparedSpec, populations: Mapping[str, Pairs]
) -> tuple[SimilarityCalibration, list[PopulationRates]]:
    """Return the calibration of an embedder, and the rates of each population at its thresholds.

    The threshold for a rate is the lowest at which the FAR of no population exceeds the rate
    (docs/decisions/0036-calibration-on-populations.md). The last rate is the lowest that is measured: its
    threshold accepts impostor pairs of at least MIN_PAIRS_OF_PEOPLE pairs of people of one population. The
    default rate is DEFAULT_FAR, or the lowest one if it is greater. The true accept rates are those of the
    first population.

    Args:
        spec: the spec of the embedder.
        populations: all pairs of each population, by name.

    Raises:
        TooFewPeople: no rate can be measured, there are no genuine pairs, or they are not more similar than
            impostor pairs.
    """
    first = next(iter(populations))
    _check_pairs(populations)
    rates: dict[str, dict[float, MeasuredRates]] = {name: {} for name in populations}
    thresholds = []
    for far in FARS:
        threshold = threshold_at_far([*populations.values()], far)
        measured = {name: pairs.measure(threshold) for name, pairs in populations.items()}
        if max(one.pairs_of_people for one in measured.values()) < MIN_PAIRS_OF_PEOPLE:
            break
        tar = round(measured[first].tar.value, 4)
        thresholds.append(Calibration(far=far, threshold=threshold, tar=tar))
        for name, one in measured.items():
            rates[name][far] = one
    if not thresholds:
        raise TooFewPeople(
            f"A FAR of {FARS[0]:g} cannot be measured on {' and '.join(populations)}: impostor pairs of at "
            f"least {MIN_PAIRS_OF_PEOPLE} pairs of people must be accepted. Add people."
        )
    curve = fit_probability(
        [p.genuine for p in populations.values()], [p.impostors for p in populations.values()]
    )
    calibration = SimilarityCalibration(
        calibrated_on=f"all impostor pairs of {', '.join(populations)}, so that the FAR of none exceeds the "
        f"rate; TAR on all genuine pairs of {first}",
        thresholds=tuple(thresholds),
        default_far=max(DEFAULT_FAR, thresholds[-1].far),
        probability=None if spec.metric == "probability" else curve,
    )
    return calibration, [
        PopulationRates(name, p.people, p.faces, len(p.genuine), len(p.impostors), rates[name])
        for name, p in populations.items()
    ]


def _check_pairs(populations: Mapping[str, Pairs]) -> None:
    for name, pairs in populations.items():
        if np.isnan(pairs.genuine).all() or not len(pairs.impostors):
            raise TooFewPeople(
                f"{name} must have two people, and one with two images in which a face is found. Add images."
            )
        if np.nanmean(pairs.genuine) <= pairs.impostors.mean():
            raise TooFewPeople(
                f"Images of one person of {name} are not more similar than images of different people. Check "
                "that each person's folder has images of that person alone, and train longer."
            )


def keep_calibration(models: Path, model: str, calibration: SimilarityCalibration) -> None:
    """Write the calibration of an embedder to the model store, for the next export of its weights."""
    write_calibration(models, read_calibration(models) | {model: calibration})
