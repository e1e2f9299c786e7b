"""A cascade's settings, measured without running its nets anew for each: recall stage by stage, and a grid.

    python -m training.studies.cascade_settings --data DATA
    python -m training.studies.cascade_settings --data DATA --run runs/cascade_pnet --run runs/cascade_rnet
    python -m training.studies.cascade_settings --data DATA --model cascade --trust 5 --trust 10 --trust 20

The nets see every candidate once, at low thresholds; what they answer is kept, and thresholds, the weights of
the three scores and the final overlap are tried on that. Stages without a run are MTCNN's. A setting
has figures a little off the detector's with it, since R-Net's candidates are thinned only afterwards.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.vision import boxes
from app.vision.pyramid import ImagePyramid
from app.vision.scores import logit, sigmoid
from app.vision.spec import ScoreWeights
from training.average_precision import average_precision
from training.cascade_config import Stage
from training.data import wider
from training.data.images import read_image
from training.evaluate_detection import BANDS, LEAST_HEIGHT, Found, match_all, recall
from training.page import table
from training.propose import detector

LOW: dict[Stage, dict[str, object]] = {
    "pnet": {"threshold": 0.05, "max_candidates": 1000},
    "rnet": {"threshold": 0.01, "nms": 0.8, "max_candidates": 200},
    "onet": {"score_weights": ScoreWeights()},
}
"""What the nets are asked with."""

GRID = (
    (0.05, 0.1, 0.2, 0.3, 0.5),
    (0.05, 0.1, 0.2, 0.4, 0.58),
    (0.0, 0.2, 0.5),
    (0.0, 0.3, 0.6, 1.0),
    (0.3, 0.4, 0.5),
)
"""Of every number of a `Setting` the values tried."""

THINNED = 0.7
NO_POINTS = np.empty((0, 5, 2), np.float32)


@dataclass(frozen=True)
class Kept:
    """What the nets said of one picture: P-Net's boxes and scores; of the best by R-Net, all log odds.

    `moved` are R-Net's boxes, `final` O-Net's.
    """

    proposed: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    first: Float32[ndarray, " k"]
    second: Float32[ndarray, " k"]
    third: Float32[ndarray, " k"]
    moved: Float32[ndarray, "k 4"]
    final: Float32[ndarray, "k 4"]


@dataclass(frozen=True)
class Setting:
    """Thresholds of P-Net's score and of the mean of P and R, weights of their log odds, final overlap."""

    pnet: float
    rnet: float
    trust_pnet: float
    trust_rnet: float
    nms: float = 0.5


def keep(finder: Detector, picture: ImagePyramid) -> Kept:
    """Every stage's answers, whatever the thresholds of serving."""
    given = finder.propose(picture, LEAST_HEIGHT)
    second = finder.refine(picture, given)
    final, third, _ = finder.run_onet(picture, second.boxes)
    final = boxes.interpolate(second.boxes, final, finder.spec.box_blend)
    return Kept(
        given.boxes,
        given.scores,
        second.logits[:, 0],
        second.logits[:, 1],
        logit(third),
        second.boxes,
        final,
    )


def apply(kept: Kept, how: Setting, size: tuple[int, int]) -> Found:
    """What the detector would answer with these settings."""
    trust = how.trust_pnet + how.trust_rnet
    odds = how.trust_pnet * kept.first + how.trust_rnet * kept.second
    sure = odds / trust if trust else kept.second
    passed = np.flatnonzero((kept.first > _odds(how.pnet)) & (sure > _odds(how.rnet)))
    passed = passed[boxes.nms(kept.moved[passed], sure[passed], THINNED)]
    scores = ((kept.third + odds)[passed] / (1 + trust)).astype(np.float32)
    best = boxes.nms(kept.final[passed], scores, how.nms)
    found = boxes.clip(kept.final[passed][best], *size)
    return Found(found, sigmoid(scores[best]), np.repeat(NO_POINTS, len(best), axis=0))


def _odds(score: float) -> float:
    return float(logit(np.array([score], np.float32))[0])


def recalls(kept: list[Kept], pictures: list[wider.LabelledPicture]) -> str:
    """The share of faces that have a candidate of IoU 0.5: of P-Net's best, and after R- and O-Net."""
    rows = []
    for most in (100, 200, 300, 400, 600, 1000):
        chosen = [k.proposed[np.argsort(-k.scores)[:most]] for k in kept]
        lowest = np.mean([np.sort(k.scores)[::-1][:most][-1] if len(k.scores) else 0 for k in kept])
        rows.append(
            [f"P-Net, best {most} (mean of the least scores {lowest:.2f})", *_share(chosen, pictures)]
        )
    for score in (0.02, 0.05, 0.1, 0.2, 0.4):
        chosen = [k.moved[k.second > _odds(score)] for k in kept]
        count = np.mean([len(c) for c in chosen])
        rows.append([f"R-Net above {score:g} ({count:.0f} a picture)", *_share(chosen, pictures)])
    rows.append(["O-Net, all", *_share([k.final for k in kept], pictures)])
    return table(["stage", "all", *(f"{low} to {high}" for low, high in BANDS)], rows)


def _share(found: list[ndarray], pictures: list[wider.LabelledPicture]) -> list[str]:
    heights, seen = [], []
    for of, picture in zip(found, pictures, strict=True):
        truth = picture.boxes[~picture.invalid]
        heights.append(truth[:, 3] - truth[:, 1])
        best = boxes.iou(truth, of).max(axis=1, initial=0) if len(truth) else np.empty(0)
        seen.append(best >= 0.5)
    tall, hit = np.concatenate(heights), np.concatenate(seen)
    bands = [(LEAST_HEIGHT, np.inf), *BANDS]
    return [f"{hit[(tall >= low) & (tall < high)].mean():.3f}" for low, high in bands]


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds `wider/`")],
    run: Annotated[
        list[Path] | None, typer.Option(help="a trained stage's run; several may be named")
    ] = None,
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    model: Annotated[str, typer.Option(help="the store's detector for stages without a run")] = "mtcnn",
    trust: Annotated[
        list[float] | None, typer.Option(help="weights of P-Net's log odds, in place of the grid's")
    ] = None,
    shown: Annotated[int, typer.Option(help="settings printed, by falling AP")] = 25,
) -> None:
    """Recall stage by stage, then AP of a grid of settings, on WIDER's validation pictures."""
    finder = detector(run or [], models, LOW, model)
    pictures = list(wider.read(data / "wider", "val"))
    kept, sizes = [], []
    for labelled in tqdm(pictures, unit="picture", disable=None):
        picture = ImagePyramid(read_image(labelled.path))
        kept.append(keep(finder, picture))
        sizes.append((picture.width, picture.height))
    print(recalls(kept, pictures))
    rows = []
    pnet, rnet, weights, *rest = GRID
    for how in (Setting(*values) for values in product(pnet, rnet, trust or weights, *rest)):
        found = [apply(k, how, size) for k, size in zip(kept, sizes, strict=True)]
        matched = match_all(pictures, found)
        crops = np.mean([(k.scores > how.pnet).sum() for k in kept])
        rows.append((average_precision(matched), recall(matched), crops, how))
    rows.sort(key=lambda row: -row[0])
    head = ["AP", "recall", "R-Net crops", "P-Net", "R-Net", "trust P", "trust R", "NMS"]
    print(table(head, [[f"{a:.4f}", f"{r:.3f}", f"{c:.0f}", *_cells(h)] for a, r, c, h in rows[:shown]], 0))


def _cells(how: Setting) -> list[str]:
    return [f"{v:g}" for v in (how.pnet, how.rnet, how.trust_pnet, how.trust_rnet, how.nms)]


if __name__ == "__main__":
    typer.run(main)
