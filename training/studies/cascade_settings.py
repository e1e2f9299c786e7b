"""Compare settings of a cascade without running its nets for each of them.

    python -m training.studies.cascade_settings --data DATA
    python -m training.studies.cascade_settings --data DATA --run runs/cascade_pnet --run runs/cascade_rnet
    python -m training.studies.cascade_settings --data DATA --model cascade --proposal-weight 10
    python -m training.studies.cascade_settings --data DATA --model cascade --variants --limit 500

The nets run once on WIDER FACE's validation images, at low thresholds. Their outputs are kept, and a grid of
thresholds, score weights and NMS overlaps is applied to them. The figures of a setting differ a little from
those of the detector with that setting, because NMS first thins R-Net's candidates at the low thresholds.

With `--variants` the detector runs on WIDER FACE's training images, once as it is and once for each entry of
`VARIANTS`, which changes one setting of the detector.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32, Float64
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.runtime.manifest import models_for
from app.vision import boxes
from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit, sigmoid
from app.vision.spec import ScoreWeights
from training.data.datasets import wider
from training.data.datasets.images import read_image
from training.evaluation.detection import (
    HEIGHT_BANDS,
    MIN_HEIGHT,
    Detections,
    detect_function,
    match_all,
)
from training.evaluation.user_errors import one_line_errors
from training.exporting.detector_stages import detector_with
from training.exporting.published import StageSettings
from training.metrics.detection import Matches, average_precision, recall
from training.reports.markdown import table

LOW_THRESHOLDS: StageSettings = {
    "pnet": {"threshold": 0.0005, "max_candidates": 1000},
    "rnet": {"threshold": 0.01, "nms": 0.8, "max_candidates": 200},
    "onet": {"score_weights": ScoreWeights()},
}
"""Settings with which the nets run."""

PNET_THRESHOLDS = (0.004, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
RNET_THRESHOLDS = (0.05, 0.1, 0.2, 0.4, 0.58)
PROPOSAL_WEIGHTS = (0.0, 0.2, 0.5)
RNET_WEIGHTS = (0.0, 0.3, 0.6, 1.0)
NMS_OVERLAPS = (0.3, 0.4, 0.5)

VARIANTS: dict[str, StageSettings] = {
    "as it is": {},
    "smallest face 22 px at the first scale": {"pnet": {"best_cell": 22}},
    "smallest face 25 px at the first scale": {"pnet": {"best_cell": 25}},
    "ratio of scales 0.24": {"pnet": {"factor": 0.24}},
    "ratio of scales 0.28": {"pnet": {"factor": 0.28}},
    "ratio of scales 0.36": {"pnet": {"factor": 0.36}},
    "no penalty in coarse scales": {"pnet": {"coarse_penalty": 0.0}},
    "penalty up to 48 px": {"pnet": {"coarse_side": 48.0}},
    "threshold of the proposal net 0.2": {"pnet": {"threshold": 0.2}},
    "voting from IoU 0.6": {"pnet": {"vote": 0.6}},
    "threshold of R-Net 0.15": {"rnet": {"threshold": 0.15}},
    "final NMS at IoU 0.4": {"onet": {"nms": 0.4}},
    "weights 10, 2, 2": {"onet": {"score_weights": ScoreWeights(proposal=5, rnet=1)}},
    "box blend 0.4": {"onet": {"box_blend": 0.4}},
}
"""Settings of `cascade` that `--variants` compares."""

RESAMPLES = 200
"""Number of bootstrap samples of the images."""

RNET_NMS = 0.7
NO_POINTS = np.empty((0, 5, 2), np.float32)


@dataclass(frozen=True)
class StageOutputs:
    """The outputs of all stages for one image.

    Attributes:
        proposed: boxes of the proposal net.
        proposal_scores: their scores.
        proposal_logits: logits of the proposal net for the boxes that R-Net kept.
        rnet_logits: logits of R-Net for them.
        onet_logits: logits of O-Net for them.
        refined: boxes after R-Net.
        final: boxes after O-Net.
    """

    proposed: Float32[ndarray, "n 4"]
    proposal_scores: Float32[ndarray, " n"]
    proposal_logits: Float32[ndarray, " k"]
    rnet_logits: Float32[ndarray, " k"]
    onet_logits: Float32[ndarray, " k"]
    refined: Float32[ndarray, "k 4"]
    final: Float32[ndarray, "k 4"]


@dataclass(frozen=True)
class Setting:
    """Settings of a cascade.

    Attributes:
        pnet_threshold: minimum score of the proposal net.
        rnet_threshold: minimum of the fused score of proposal net and R-Net.
        proposal_weight: weight of the proposal net's logit; O-Net has the weight 1.
        rnet_weight: weight of R-Net's logit.
        nms: IoU of the final NMS.
    """

    pnet_threshold: float
    rnet_threshold: float
    proposal_weight: float
    rnet_weight: float
    nms: float = 0.5

    def cells(self) -> list[str]:
        """Return the settings as cells of a table."""
        values = (
            self.pnet_threshold,
            self.rnet_threshold,
            self.proposal_weight,
            self.rnet_weight,
            self.nms,
        )
        return [f"{value:g}" for value in values]


def run_stages(detector: Detector, picture: ImagePyramid) -> StageOutputs:
    """Return the outputs of all stages for an image."""
    proposals = detector.propose(picture, MIN_HEIGHT)
    refined = detector.refine(picture, proposals)
    regressed, scores, _ = detector.run_onet(picture, refined.boxes)
    return StageOutputs(
        proposed=proposals.boxes,
        proposal_scores=proposals.scores,
        proposal_logits=refined.logits[:, 0],
        rnet_logits=refined.logits[:, 1],
        onet_logits=logit(scores),
        refined=refined.boxes,
        final=boxes.interpolate(refined.boxes, regressed, detector.spec.box_blend),
    )


def apply(outputs: StageOutputs, setting: Setting, size: tuple[int, int]) -> Detections:
    """Return the detections with a setting.

    Args:
        outputs: the outputs of the stages.
        setting: the setting.
        size: width and height of the image.
    """
    weight = setting.proposal_weight + setting.rnet_weight
    weighted = setting.proposal_weight * outputs.proposal_logits + setting.rnet_weight * outputs.rnet_logits
    fused = weighted / weight if weight else outputs.rnet_logits
    passed = np.flatnonzero(
        (outputs.proposal_logits > _logit(setting.pnet_threshold)) & (fused > _logit(setting.rnet_threshold))
    )
    passed = passed[boxes.nms(outputs.refined[passed], fused[passed], RNET_NMS)]
    logits = ((outputs.onet_logits + weighted)[passed] / (1 + weight)).astype(np.float32)
    kept = boxes.nms(outputs.final[passed], logits, setting.nms)
    final = boxes.clip(outputs.final[passed][kept], *size)
    return Detections(final, sigmoid(logits[kept]), np.repeat(NO_POINTS, len(kept), axis=0))


def _logit(score: float) -> float:
    return float(logit(np.array([score], np.float32))[0])


def recall_by_stage(outputs: list[StageOutputs], images: list[wider.LabelledImage]) -> str:
    """Return a Markdown table of the share of faces that have a candidate of IoU 0.5 after each stage."""
    rows = []
    for count in (100, 200, 300, 400, 600, 1000):
        candidates = [o.proposed[np.argsort(-o.proposal_scores)[:count]] for o in outputs]
        lowest = np.mean([_score_at(o.proposal_scores, count) for o in outputs])
        title = f"P-Net, {count} highest scores (mean of the lowest of them {lowest:.2f})"
        rows.append([title, *_recalls(candidates, images)])
    for score in (0.02, 0.05, 0.1, 0.2, 0.4):
        candidates = [o.refined[o.rnet_logits > _logit(score)] for o in outputs]
        per_image = np.mean([len(c) for c in candidates])
        rows.append([f"R-Net above {score:g} ({per_image:.0f} per image)", *_recalls(candidates, images)])
    rows.append(["O-Net, all", *_recalls([o.final for o in outputs], images)])
    return table(["stage", "all", *(f"{low} to {high}" for low, high in HEIGHT_BANDS)], rows)


def _score_at(scores: ndarray, count: int) -> float:
    return float(np.sort(scores)[::-1][:count][-1]) if len(scores) else 0.0


def _recalls(candidates: list[ndarray], images: list[wider.LabelledImage]) -> list[str]:
    heights, overlaps = [], []
    for some, image in zip(candidates, images, strict=True):
        labels = image.boxes[~image.invalid]
        heights.append(labels[:, 3] - labels[:, 1])
        overlaps.append(boxes.iou(labels, some).max(axis=1, initial=0) if len(labels) else np.empty(0))
    height, hit = np.concatenate(heights), np.concatenate(overlaps) >= 0.5
    bands = [(MIN_HEIGHT, np.inf), *HEIGHT_BANDS]
    in_bands = [hit[(height >= low) & (height < high)] for low, high in bands]
    return [f"{band.mean():.3f}" if len(band) else "" for band in in_bands]


def compare(
    outputs: list[StageOutputs],
    images: list[wider.LabelledImage],
    sizes: list[tuple[int, int]],
    proposal_weights: Sequence[float],
) -> list[list[str]]:
    """Return the rows of all settings of the grid, by falling AP.

    Args:
        outputs: the outputs of the stages for each image.
        images: the labelled images.
        sizes: width and height of each image.
        proposal_weights: the weights of the proposal net's logit.
    """
    grid = product(PNET_THRESHOLDS, RNET_THRESHOLDS, proposal_weights, RNET_WEIGHTS, NMS_OVERLAPS)
    rows = []
    for setting in (Setting(*values) for values in grid):
        detections = [apply(o, setting, size) for o, size in zip(outputs, sizes, strict=True)]
        matches = match_all(images, detections)
        crops = np.mean([(o.proposal_scores > setting.pnet_threshold).sum() for o in outputs])
        rows.append((average_precision(matches), recall(matches), crops, setting))
    rows.sort(key=lambda row: -row[0])
    return [[f"{ap:.4f}", f"{r:.3f}", f"{crops:.0f}", *setting.cells()] for ap, r, crops, setting in rows]


def compare_variants(detectors: dict[str, Detector], images: list[wider.LabelledImage]) -> list[list[str]]:
    """Return a row for each detector: its AP, the difference from the first one, and the AP by height.

    The difference has a 95% interval by bootstrap over the images.

    Args:
        detectors: the detectors by name.
        images: the labelled images.
    """
    functions = {name: detect_function(detector) for name, detector in detectors.items()}
    found: dict[str, list[Detections]] = {name: [] for name in detectors}
    for image in tqdm(images, unit="image", disable=None):
        pixels = read_image(image.path)
        for name, detect in functions.items():
            found[name].append(detect(pixels))
    first = match_all(images, found[next(iter(detectors))])
    rows = []
    for name, detections in found.items():
        matches = match_all(images, detections)
        low, high = np.percentile(bootstrap_differences(first, matches), (2.5, 97.5))
        by_height = [average_precision(match_all(images, detections, *band)) for band in HEIGHT_BANDS]
        ap = average_precision(matches)
        change = f"{ap - average_precision(first):+.4f} ({low:+.4f} to {high:+.4f})"
        rows.append([name, f"{ap:.4f}", change, *(f"{value:.4f}" for value in by_height)])
    return rows


def bootstrap_differences(first: list[Matches], second: list[Matches]) -> Float64[ndarray, " samples"]:
    """Return AP of the second detector less AP of the first, on samples of the images with replacement."""
    rng = np.random.default_rng(0)
    samples = rng.integers(len(first), size=(RESAMPLES, len(first)))
    return np.array(
        [
            average_precision([second[i] for i in sample]) - average_precision([first[i] for i in sample])
            for sample in samples
        ]
    )


def main(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The folder that holds wider/.")],
    run: Annotated[list[Path] | None, typer.Option(help="Run of a stage. May be repeated.")] = None,
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    model: Annotated[str, typer.Option(help="Detector of the store for stages without a run.")] = "mtcnn",
    proposal_weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of the proposal net's logit, instead of the grid's. May be repeated."),
    ] = None,
    shown: Annotated[int, typer.Option(help="Number of settings printed, by falling AP.")] = 25,
    variants: Annotated[
        bool, typer.Option("--variants", help="Compare single settings on the training images instead.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Number of images for --variants, from a seed.")] = None,
) -> None:
    """Print recall by stage and the AP of a grid of settings, on WIDER FACE's validation images."""
    models_for(models, {"detect": model})  # names the detectors if there is none of this name
    if variants:
        photos = list(wider.read(data / "wider", "train"))
        random.Random(0).shuffle(photos)
        detectors = {
            name: detector_with(run or [], models, change, model) for name, change in VARIANTS.items()
        }
        bands = [f"{low} to {high}" for low, high in HEIGHT_BANDS]
        rows = compare_variants(detectors, photos[:limit])
        print(table(["setting", "AP", "change (95% interval)", *bands], rows))
        return
    detector = detector_with(run or [], models, LOW_THRESHOLDS, model)
    images = list(wider.read(data / "wider", "val"))
    outputs, sizes = [], []
    for image in tqdm(images, unit="image", disable=None):
        picture = ImagePyramid(read_image(image.path))
        outputs.append(run_stages(detector, picture))
        sizes.append((picture.width, picture.height))
    print(recall_by_stage(outputs, images))
    rows = compare(outputs, images, sizes, proposal_weight or PROPOSAL_WEIGHTS)
    head = ["AP", "recall", "R-Net crops", "P-Net", "R-Net", "weight of P-Net", "weight of R-Net", "NMS"]
    print(table(head, rows[:shown], 0))


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
