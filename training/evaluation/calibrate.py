"""Calibrate an embedder on several populations, and measure its thresholds on each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
from training.exporting.calibration import read_calibration, write_calibration

TAR_POPULATION = "LFW View 1"
"""The population whose true accept rates are in the calibration."""


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
    threshold accepts impostor pairs of at least MIN_PAIRS_OF_PEOPLE pairs of people of one population.

    Args:
        spec: the spec of the embedder.
        populations: all pairs of each population, by name.
    """
    rates: dict[str, dict[float, MeasuredRates]] = {name: {} for name in populations}
    thresholds = []
    for far in FARS:
        threshold = threshold_at_far([*populations.values()], far)
        measured = {name: pairs.measure(threshold) for name, pairs in populations.items()}
        if max(one.pairs_of_people for one in measured.values()) < MIN_PAIRS_OF_PEOPLE:
            break
        tar = round(measured[TAR_POPULATION].tar.value, 4)
        thresholds.append(Calibration(far=far, threshold=threshold, tar=tar))
        for name, one in measured.items():
            rates[name][far] = one
    curve = fit_probability(
        [p.genuine for p in populations.values()], [p.impostors for p in populations.values()]
    )
    calibration = SimilarityCalibration(
        calibrated_on=f"all impostor pairs of {', '.join(populations)}, so that the FAR of none exceeds the "
        f"rate; TAR on all genuine pairs of {TAR_POPULATION}",
        thresholds=tuple(thresholds),
        default_far=DEFAULT_FAR,
        probability=None if spec.metric == "probability" else curve,
    )
    return calibration, [
        PopulationRates(name, p.people, p.faces, len(p.genuine), len(p.impostors), rates[name])
        for name, p in populations.items()
    ]


def keep_calibration(models: Path, model: str, calibration: SimilarityCalibration) -> None:
    """Write the calibration of an embedder to the model store, for its next export."""
    write_calibration(models, read_calibration(models) | {model: calibration})
