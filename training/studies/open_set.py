"""Whether the thresholds for a gallery hold what they promise for people who are not in it.

    python -m training.studies.open_set --data DATA

FPIR is the share of strangers whose best face in the gallery reaches the threshold; no person of the gallery
is among them. TPIR is the share of other images of the gallery's people whose best face shows the right
person and reaches the threshold. All figures are means over random galleries.

The study writes the tables and the plot of docs/experiments/open-set.md.
docs/decisions/0039-open-set-thresholds.md has the conclusion.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib import pyplot as plt
from tqdm import tqdm

from app.pipeline.calibration import Pairs
from app.pipeline.open_set import threshold_for_fpir
from app.pipeline.verifier import threshold_for
from training.evaluation.calibrate import calibrate
from training.evaluation.embedded_populations import ALL, CELEBA, LFW, VGGFACE2, EmbeddedPopulations, load_all
from training.evaluation.galleries import BestMatches, everyone_else, people_matches, random_matches
from training.evaluation.populations import FaceVectors
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown

PAGE, PLOT = Path("docs/experiments/open-set.md"), Path("docs/images/open-set.png")
MODELS = ("fused", "sface", "dlib")
FPIRS = (0.1, 0.03, 0.01, 0.003)
FPIR = 0.01
SIZES = (100, 1_000, 10_000)


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    galleries: Annotated[int, typer.Option(help="Number of random galleries.")] = 100,
    halves: Annotated[int, typer.Option(help="Number of splits of the people into halves.")] = 30,
) -> None:
    """Print the tables, and write them and the plot."""
    with one_line_errors():
        loaded = load_all(data, models, cache, MODELS)
        write("promise", promises(loaded, galleries))
        write("identified", identified(loaded, galleries))
        _plot(loaded[0], galleries)
        write("new-people", new_people(loaded[0], halves))


def write(mark: str, text: str) -> None:
    """Print a table and write it into the page."""
    print(f"{mark}\n\n{text}\n", flush=True)
    markdown.fill(PAGE, mark, markdown.dated(text))


def mean(values: Iterable[float]) -> float:
    """Return the mean."""
    return float(np.mean([*values]))


def promises(loaded: Sequence[EmbeddedPopulations], galleries: int) -> str:
    """Return a Markdown table of the measured FPIR over the promised one."""
    rows = []
    for one in loaded:
        for name, faces in one.labelled().items():
            for size in SIZES:
                found = random_matches(faces, size, galleries)
                if found:
                    cells = [_ratios(found, threshold_for_fpir(one.embedder.spec, size, f), f) for f in FPIRS]
                    rows.append([f"`{one.embedder.spec.model}`", name, f"{size:,}", *cells])
    return markdown.table(["model", "people", "faces", *(f"FPIR {f:g}" for f in FPIRS)], rows, left=2)


def new_people(fused: EmbeddedPopulations, halves: int) -> str:
    """Return a Markdown table of the measured FPIR over the promised one, for people out of the calibration.

    The thresholds are calibrated on one half of the people, and the galleries and strangers are of the other.
    """
    rng, ratios = np.random.default_rng(0), dict[tuple[str, int, float], list[float]]()
    for _ in tqdm(range(halves), disable=None):
        halved = {name: _halves(one, rng) for name, one in fused.populations.items()}
        pairs = {name: Pairs(fused.embedder, *first) for name, (first, _) in halved.items()}
        calibration, _ = calibrate(fused.embedder.spec, pairs)
        spec = fused.embedder.spec.model_copy(update={"thresholds": calibration.thresholds})
        others = {name: second for name, (_, second) in halved.items()}
        for name, faces in replace(fused, populations=others).labelled().items():
            for size in (100, 1_000, 4_000):
                found = random_matches(faces, size, 5)
                for fpir in FPIRS if found else ():
                    threshold = threshold_for_fpir(spec, size, fpir)
                    mean = float(np.mean([one.fpir(threshold) for one in found])) / fpir
                    ratios.setdefault((name, size, fpir), []).append(mean)
    rows = []
    for name, size in sorted({key[:2] for key in ratios}):
        found_ratios = [np.array(ratios[name, size, fpir]) for fpir in FPIRS]
        cells = [f"{r.mean():.2f} / {np.quantile(r, 0.9):.2f} / {(r <= 2).mean():.0%}" for r in found_ratios]
        rows.append([name, f"{size:,}", *cells])
    return markdown.table(["people", "faces", *(f"FPIR {f:g}" for f in FPIRS)], rows)


def identified(loaded: Sequence[EmbeddedPopulations], galleries: int) -> str:
    """Return a Markdown table of the TPIR, beside that of the threshold chosen in hindsight."""
    rows = []
    for one in loaded:
        faces = one.labelled()
        celeba = people_matches(faces[CELEBA], 30, 3, galleries)
        lfw = people_matches(faces[LFW], 660, 1, galleries)
        for case, size, matches, strangers in (
            ("CelebA, 30 people, 3 faces each", 90, celeba, celeba),
            ("LFW, 660 people, 1 face each", 660, lfw, lfw),
            ("the same at the threshold for 1,500 faces", 1_500, lfw, [everyone_else(faces[LFW])]),
        ):
            threshold = threshold_for_fpir(one.embedder.spec, size, FPIR)
            figures = (
                mean(m.fpir(threshold) for m in strangers),
                mean(m.tpir(threshold) for m in matches),
                mean(m.tpir(float(np.quantile(m.strangers, 1 - FPIR))) for m in matches),
                mean(m.tpir(-1) for m in matches),
            )
            cells = [f"{threshold:.4f}", *(f"{figure:.4f}" for figure in figures)]
            rows.append([f"`{one.embedder.spec.model}`", case, *cells])
    head = ["model", "gallery", "threshold", "FPIR", "TPIR", "TPIR, threshold in hindsight", "rank 1"]
    return markdown.table(head, rows, left=2)


def _plot(fused: EmbeddedPopulations, galleries: int) -> None:
    """Draw the measured FPIR over the promised one, and over the size of the gallery."""
    spec, faces = fused.embedder.spec, fused.labelled()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    rates = np.geomspace(1e-3, 0.3, 40)
    for name, size in ((CELEBA, 1_000), (LFW, 1_000), (VGGFACE2, 1_000), (ALL, 10_000)):
        found = random_matches(faces[name], size, galleries)
        measured = [mean(m.fpir(threshold_for_fpir(spec, size, float(f))) for m in found) for f in rates]
        left.plot(rates, measured, label=f"{name}, {size:,} faces")
    left.plot(rates, rates, "k", linewidth=0.8, label="as promised")
    left.plot(rates, 2 * rates, "k--", linewidth=0.8, label="twice as much")
    left.set(xscale="log", yscale="log", xlabel="promised FPIR", ylabel="measured FPIR", ylim=(5e-5, 1))
    sizes = [10, 30, 100, 300, 1_000, 3_000, 10_000]
    found_by_size = [random_matches(faces[ALL], size, galleries // 2) for size in sizes]
    lines: dict[str, Callable[[int], float]] = {
        "FAR 0.001": lambda size: threshold_for(spec, 1e-3),
        "FAR 0.0001": lambda size: threshold_for(spec, 1e-4),
        "FPIR 0.01": lambda size: threshold_for_fpir(spec, size, FPIR),
    }
    for name, threshold in lines.items():
        shares = [
            mean(m.fpir(threshold(n)) for m in found) for n, found in zip(sizes, found_by_size, strict=True)
        ]
        right.plot(sizes, shares, marker="o", markersize=4, label=f"threshold for {name}")
    right.set(
        xscale="log", yscale="log", xlabel="faces in the gallery", ylabel="measured FPIR", ylim=(1e-3, 1)
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=120)


def _ratios(found: Sequence[BestMatches], threshold: float, fpir: float) -> str:
    """Return the mean of the measured FPIR over the promised one, and its 95% quantile over galleries."""
    ratios = [one.fpir(threshold) / fpir for one in found]
    return f"{np.mean(ratios):.2f} ({np.quantile(ratios, 0.95):.2f})"


def _halves(faces: FaceVectors, rng: np.random.Generator) -> tuple[FaceVectors, FaceVectors]:
    names = rng.permutation(np.unique(faces.people))
    first = np.isin(faces.people, names[: len(names) // 2])
    a, b = (FaceVectors(faces.vectors[half], faces.people[half]) for half in (first, ~first))
    return a, b


if __name__ == "__main__":
    typer.run(main)
