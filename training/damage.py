"""Robustness of landmark nets: error, end to end, as the pictures are blurred, turned or covered in part."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.figure import Figure
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.pipeline.landmarks import Landmarker
from app.vision.pyramid import ImagePyramid
from training import page
from training.data.sources import Sample
from training.landmark_errors import five_found, truth_of
from training.matching import box_of, raised
from training.metrics import Interval, interval, mean, nme, reach

Damaged = tuple[UInt8[ndarray, "h w 3"], Float32[ndarray, "68 2"]]
"""A picture and its labels, wherever the damage put them."""

GREY = 128
LEAST = 20
"""Of fewer faces found no mean error is given."""


def blurred(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Damaged:
    """Gaussian blur whose standard deviation is `amount` times the outer-eye distance."""
    sigma = amount * float(reach(points[None], "ibug68")[0])
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image, points


def turned(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Damaged:
    """The whole picture turned by `amount` degrees, to one side or the other; black beyond its edges."""
    angle = math.radians(amount) * rng.choice([-1, 1])
    cos, sin = math.cos(angle), math.sin(angle)
    height, width = image.shape[:2]
    wide = math.ceil(abs(cos) * width + abs(sin) * height)
    high = math.ceil(abs(sin) * width + abs(cos) * height)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle, goal = np.array([width - 1, height - 1]) / 2, np.array([wide - 1, high - 1]) / 2
    shift = goal - linear @ middle
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    moved = (points @ linear.T + shift).astype(np.float32)
    return cv2.warpAffine(image, matrix, (wide, high), flags=cv2.INTER_LINEAR), moved


def covered(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Damaged:
    """A grey block over the share `amount` of the face's box, of its shape, anywhere within it."""
    box = raised(box_of(points))
    size = box[2:] - box[:2]
    block = size * math.sqrt(amount)
    corner = box[:2] + rng.random(2) * (size - block)
    x1, y1, x2, y2 = np.rint(np.clip([*corner, *(corner + block)], 0, None)).astype(int)
    out = image.copy()
    out[y1:y2, x1:x2] = GREY
    return out, points


@dataclass(frozen=True)
class Damage:
    """A way to damage pictures: its amounts, the first of which leaves them as they are."""

    name: str
    axis: str
    amounts: tuple[float, ...]
    apply: Callable[[ndarray, ndarray, float, np.random.Generator], Damaged]


DAMAGES = (
    Damage(
        "blur",
        "blur: standard deviation over the outer-eye distance",
        (0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2),
        blurred,
    ),
    Damage("turn", "turn in the picture's plane, degrees", (0, 15, 30, 45, 60, 75, 90), turned),
    Damage(
        "occlusion", "share of the face's box that is covered", (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), covered
    ),
)


@dataclass(frozen=True)
class Curve:
    """By amount of a damage: the share of faces not found, and each model's mean error on those found."""

    damage: Damage
    missed: tuple[float, ...]
    errors: dict[str, tuple[Interval | None, ...]]


def measure(
    samples: list[Sample], detector: Detector, landmarkers: dict[str, Landmarker], seed: int
) -> list[Curve]:
    """The curves of all damages; a face is turned to one side, or covered in one place, at every amount."""
    curves = []
    for damage in DAMAGES:
        errors = {name: np.full((len(damage.amounts), len(samples)), np.nan) for name in landmarkers}
        for i, sample in enumerate(tqdm(samples, damage.name, disable=None, leave=False)):
            pixels = sample.pixels()
            for j, amount in enumerate(damage.amounts):
                rng = np.random.default_rng((seed, i))
                image, points = damage.apply(pixels, sample.points, amount, rng)
                picture = ImagePyramid(image)
                five = five_found(detector, picture, points)
                if five is None:
                    continue
                for name, landmarker in landmarkers.items():
                    truth = truth_of(replace(sample, points=points), landmarker.scheme)
                    errors[name][j, i] = nme(landmarker(picture, five), truth, landmarker.scheme)[0]
        missed = np.isnan(next(iter(errors.values()))).mean(axis=1)
        curves.append(
            Curve(damage, tuple(missed.tolist()), {name: _by_amount(table) for name, table in errors.items()})
        )
    return curves


def _by_amount(errors: ndarray) -> tuple[Interval | None, ...]:
    known = [row[np.isfinite(row)] for row in errors]
    return tuple(interval(mean, row) if len(row) >= LEAST else None for row in known)


def tables(curves: list[Curve]) -> str:
    """A Markdown table for each damage: mean errors with 95% intervals, and faces not found."""
    out = []
    for curve in curves:
        rows = [
            [f"{amount:g}", f"{100 * missed:.1f}%", *(_cell(errors[j]) for errors in curve.errors.values())]
            for j, (amount, missed) in enumerate(zip(curve.damage.amounts, curve.missed, strict=True))
        ]
        out.append(page.table([curve.damage.axis, "not found", *curve.errors], rows, left=0))
    return "\n\n".join(out)


def _cell(figure: Interval | None) -> str:
    if figure is None:
        return ""
    return f"{100 * figure.value:.2f}% ({100 * figure.low:.2f} to {100 * figure.high:.2f})"


def plot(curves: list[Curve], path: Path) -> None:
    """The curves as a PNG: errors with their intervals above, faces not found below."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    grid = figure.subplots(2, len(curves), height_ratios=(3, 1), sharex="col", squeeze=False)
    for column, curve in enumerate(curves):
        above, below = grid[:, column]
        for name, errors in curve.errors.items():
            known = [(a, e) for a, e in zip(curve.damage.amounts, errors, strict=True) if e is not None]
            amounts = [a for a, _ in known]
            above.plot(amounts, [100 * e.value for _, e in known], "o-", markersize=3, label=name)
            low, high = [100 * e.low for _, e in known], [100 * e.high for _, e in known]
            above.fill_between(amounts, low, high, alpha=0.2)
        above.set(title=curve.damage.name, ylim=(0, None))
        below.plot(curve.damage.amounts, [100 * m for m in curve.missed], "ko-", markersize=3)
        below.set(xlabel=curve.damage.axis, ylim=(-5, 105))
        for axis in (above, below):
            axis.grid(alpha=0.3)
    grid[0, 0].set_ylabel("mean error over the outer-eye distance, %\n(faces found)")
    grid[1, 0].set_ylabel("not found, %")
    grid[0, 0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
