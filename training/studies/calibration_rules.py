"""Compare rules that choose one threshold for several populations.

    python -m training.studies.calibration_rules --data DATA --model fused

The first table has the rates of all people at the threshold of each rule. For the second, the people of each
population are split into two halves many times: the rule chooses the threshold on one half, and the other
half says whether the promise holds for new people. docs/decisions/0036-calibration-on-populations.md has the
conclusion.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import STEPS, Pairs
from app.pipeline.embedder import Embedder
from app.runtime import model_store
from app.runtime.manifest import models_for
from training.evaluation.populations import FaceVectors, read_populations, vectors_of
from training.reports.markdown import table

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)

LIMITS = {"LFW View 1": 1.25, "CelebA": 1.5, "VGGFace2": 1.5}
"""The greatest promised ratio of the measured FAR to the rate."""

SAFETY = 0.8
"""Factor of the rate in the last rule."""

RULES: dict[str, Callable[[ndarray], float]] = {
    "LFW alone": lambda fars: fars[0],
    "mean": lambda fars: float(fars.mean()),
    "geometric mean": lambda fars: float(np.exp(np.log(np.maximum(fars, 1e-12)).mean())),
    "worst population": lambda fars: float(fars.max()),
    "limits": lambda fars: float((fars / [*LIMITS.values()]).max()),
    f"limits, {SAFETY:g} of the rate": lambda fars: float((fars / [*LIMITS.values()]).max() / SAFETY),
}
"""The pooled FAR of each rule, by the FAR of each population. It must be at most the rate."""


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    model: Annotated[str, typer.Option(help="Embedder of the store.")] = "fused",
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    splits: Annotated[int, typer.Option(help="Number of splits of the people.")] = 100,
) -> None:
    """Print both tables."""
    names = models_for(models, {"detect": None}) | models_for(models, {"embed": model})
    analyzer = Analyzer(model_store.load(models, "cpu", names=names))
    embedder = analyzer.embedder(model)
    faces = [vectors_of(analyzer, model, one, cache) for one in read_populations(data)]
    print(all_people(embedder, faces) + "\n")
    print(new_people(embedder, faces, splits))


def threshold(rule: Callable[[ndarray], float], populations: Sequence[Pairs], far: float) -> float:
    """Return the lowest threshold at which the pooled FAR of a rule is at most `far`."""
    low, high = -STEPS, STEPS + 1
    while high - low > 1:
        middle = (low + high) // 2
        passes = rule(_fars(populations, middle / STEPS)) <= far
        low, high = (low, middle) if passes else (middle, high)
    return high / STEPS


def all_people(embedder: Embedder, faces: Sequence[FaceVectors]) -> str:
    """Return a Markdown table of the FAR, over the rate, and the TAR of each population."""
    populations = [Pairs(embedder, *one) for one in faces]
    rows = []
    for name, rule in RULES.items():
        for far in FARS:
            chosen = threshold(rule, populations, far)
            ratios = _fars(populations, chosen) / far
            tars = [float((p.genuine >= chosen).mean()) for p in populations]
            cells = (f"{value:.2f}" for value in ratios), (f"{value:.4f}" for value in tars)
            rows.append([name, f"{far:g}", f"{chosen:.4f}", *cells[0], *cells[1]])
    head = ["rule", "FAR", "threshold", *(f"FAR, {n}" for n in LIMITS), *(f"TAR, {n}" for n in LIMITS)]
    return table(head, rows)


def new_people(embedder: Embedder, faces: Sequence[FaceVectors], splits: int) -> str:
    """Return a Markdown table of the FAR over the rate on the half of the people that did not choose."""
    rng = np.random.default_rng(0)
    ratios: dict[tuple[str, float], list[ndarray]] = {}
    for _ in tqdm(range(splits), disable=None):
        halves = [_halves(embedder, one, rng) for one in faces]
        chosen_on, measured_on = [a for a, _ in halves], [b for _, b in halves]
        for name, rule in RULES.items():
            for far in FARS:
                fars = _fars(measured_on, threshold(rule, chosen_on, far))
                ratios.setdefault((name, far), []).append(fars / far)
    rows = []
    for (name, far), values in ratios.items():
        found = np.array(values)
        held = found <= [*LIMITS.values()]
        cells = [
            f"{np.median(one):.2f} / {np.quantile(one, 0.95):.2f} / {100 * share:.0f}%"
            for one, share in zip(found.T, held.mean(axis=0), strict=True)
        ]
        rows.append([name, f"{far:g}", *cells, f"{100 * held[:, :2].all(axis=1).mean():.0f}%"])
    names = [f"{name}, at most {limit:g}" for name, limit in LIMITS.items()]
    return table(["rule", "FAR", *names, "LFW and CelebA"], rows)


def _fars(populations: Sequence[Pairs], chosen: float) -> ndarray:
    return np.array([pairs.far(chosen) for pairs in populations])


def _halves(embedder: Embedder, faces: FaceVectors, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
    names = rng.permutation(np.unique(faces.people))
    first = np.isin(faces.people, names[: len(names) // 2])
    a, b = (Pairs(embedder, faces.vectors[half], faces.people[half]) for half in (first, ~first))
    return a, b


if __name__ == "__main__":
    typer.run(main)
