"""Calibrates an embedder on an operator's images, and compares the result with the loaded calibration."""

import math
from dataclasses import dataclass

import numpy as np

from app.errors import BadParameter
from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import (
    DEFAULT_FAR,
    FARS,
    MIN_PAIRS_OF_PEOPLE,
    MeasuredRates,
    Pairs,
    Rate,
    threshold_at_far,
    weights_of,
)
from app.pipeline.embedder import Embedder
from app.pipeline.platt import fit_probability
from app.pipeline.verifier import threshold_for
from app.service.calibration_file import EmbedderCalibration, MeasuredCalibration
from app.service.people_folder import FaceVectors, Refused
from app.service.run_summary import printable

MIN_PEOPLE = 10
"""Minimum number of people with two images or more."""

_SIMILAR_PAIRS = 5
_HEAD = ("FAR", "threshold now", "measured FAR (95% interval)", "new threshold", "TAR (95% interval)")


@dataclass(frozen=True)
class _Row:
    """The calibration for one false accept rate.

    Attributes:
        far: the rate.
        threshold: the threshold that has the rate on the images.
        rates: the measured rates at that threshold.
        current: the threshold of the loaded calibration; None if it does not have the rate.
        measured: the measured rates at the current threshold.
    """

    far: float
    threshold: float
    rates: MeasuredRates
    current: float | None
    measured: MeasuredRates | None

    def cells(self) -> tuple[str, ...]:
        current = "-" if self.current is None else f"{self.current:.4f}"
        measured = "-" if self.measured is None else _interval(self.measured.far, "{:.2e}")
        return (
            f"{self.far:g}",
            current,
            measured,
            f"{self.threshold:.4f}",
            _interval(self.rates.tar, "{:.4f}"),
        )


class Calibrator:
    """Calibrates an embedder on images of known people.

    Args:
        embedder: the embedder.
        faces: the images and their vectors.

    Raises:
        Refused: there are too few people, pairs or accepted pairs, or genuine pairs are not more similar than
            impostor pairs.
    """

    def __init__(self, embedder: Embedder, faces: FaceVectors) -> None:
        people = np.array([image.person for image in faces.images])
        _, counts = np.unique(people, return_counts=True)
        if (several := int((counts >= 2).sum())) < MIN_PEOPLE:
            raise Refused(
                f"At least {MIN_PEOPLE} people with two images or more are needed, each with a face; there "
                f"are {several}. Add images."
            )
        self._embedder = embedder
        self._images = faces.images
        self._pairs = Pairs(embedder, faces.vectors[embedder.spec.model], people)
        if self._pairs.genuine.mean() <= self._pairs.impostors.mean():
            raise Refused(
                "Images of one person are not more similar than images of different people. Check that each "
                "folder has the images of one person."
            )
        self._rows: list[_Row] = []
        self._next: tuple[float, MeasuredRates] | None = None
        for far in FARS:
            threshold = threshold_at_far([self._pairs], far)
            rates = self._pairs.measure(threshold)
            if rates.pairs_of_people < MIN_PAIRS_OF_PEOPLE:
                self._next = far, rates
                break
            current = self._current(far)
            measured = None if current is None else self._pairs.measure(current)
            self._rows.append(_Row(far, threshold, rates, current, measured))
        if not self._rows:
            raise Refused(self._unmeasured())

    def calibration(self, analyzer: Analyzer) -> EmbedderCalibration:
        """Return the calibration for the calibration file.

        Args:
            analyzer: the models.

        Raises:
            Refused: the default rate cannot be measured.
        """
        if self._rows[-1].far > DEFAULT_FAR:
            raise Refused(
                f"Nothing is written, because the FAR of the default threshold, {DEFAULT_FAR:g}, cannot be "
                "measured. Add people."
            )
        spec, pairs = self._embedder.spec, self._pairs
        cosine = spec.metric == "cosine"
        return EmbedderCalibration(
            detector=analyzer.detector(None).name,
            weights=weights_of(analyzer, spec.model),
            people=pairs.people,
            images=pairs.faces,
            genuine_pairs=len(pairs.genuine),
            impostor_pairs=len(pairs.impostors),
            default_far=DEFAULT_FAR,
            thresholds=tuple(
                MeasuredCalibration(
                    far=row.far,
                    threshold=row.threshold,
                    tar=row.rates.tar.value,
                    far_interval=(row.rates.far.low, row.rates.far.high),
                    tar_interval=(row.rates.tar.low, row.rates.tar.high),
                )
                for row in self._rows
            ),
            probability=fit_probability([pairs.genuine], [pairs.impostors]) if cosine else None,
        )

    def lines(self) -> list[str]:
        """Return the report: the rates, which rates are not measured, and the most similar impostor pairs."""
        pairs = self._pairs
        table = [_HEAD, *(row.cells() for row in self._rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        similar = pairs.most_similar_impostors(_SIMILAR_PAIRS)
        return [
            f"{self._embedder.spec.model}: {pairs.people} people, {pairs.faces} images with a face, "
            f"{len(pairs.genuine)} genuine and {len(pairs.impostors)} impostor pairs",
            *("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table),
            *([] if self._next is None else [self._unmeasured()]),
            "The most similar images of different people. Check them for wrong labels:",
            *(
                f"  {similarity:.4f}  {printable(self._images[a].path)}  {printable(self._images[b].path)}"
                for similarity, a, b in similar
            ),
        ]

    def _unmeasured(self) -> str:
        assert self._next is not None
        far, rates = self._next
        pairs, accepted = self._pairs, max(1, rates.pairs_of_people)
        # The numbers of pairs grow with the square of the number of people.
        growth = max(MIN_PAIRS_OF_PEOPLE / accepted, MIN_PAIRS_OF_PEOPLE / far / len(pairs.impostors))
        return (
            f"A FAR of {far:g} cannot be measured: it needs accepted pairs of {MIN_PAIRS_OF_PEOPLE} pairs of "
            f"people, and there are {rates.pairs_of_people}. About {math.ceil(pairs.people * growth**0.5)} "
            f"people with as many images each are needed; there are {pairs.people}."
        )

    def _current(self, far: float) -> float | None:
        try:
            return threshold_for(self._embedder.spec, far)
        except BadParameter:
            return None


def _interval(rate: Rate, form: str) -> str:
    return f"{form.format(rate.value)} ({form.format(rate.low)} to {form.format(rate.high)})"
