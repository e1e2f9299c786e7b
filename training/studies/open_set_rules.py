"""Other rules for the threshold of a gallery, other tails, and other scores of a person.

    python -m training.studies.open_set_rules --data DATA

The study writes three tables of docs/experiments/open-set.md. `training.studies.open_set` measures the rule
that was chosen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.pipeline.calibration import FARS, Pairs
from app.pipeline.open_set import threshold_for_fpir
from app.pipeline.verifier import threshold_for
from app.vision.spec import Calibration, ComparedSpec
from training.evaluation.embedded_populations import ALL, CELEBA, LFW, VGGFACE2, EmbeddedPopulations, load_all
from training.evaluation.galleries import (
    Gallery,
    LabelledFaces,
    Score,
    best_faces,
    best_people,
    enrol_people,
    enrol_randomly,
    everyone_else,
)
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown
from training.studies import calibration_rules
from training.studies.open_set import FPIR, MODELS, SIZES, mean, write


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
    cache: Annotated[Path, typer.Option(help="The folder of kept vectors.")] = Path("cache/vectors"),
    galleries: Annotated[int, typer.Option(help="Number of random galleries.")] = 100,
) -> None:
    """Print the tables, and write them to the page."""
    with one_line_errors():
        loaded = load_all(data, models, cache, MODELS)
        write("rules", rules(loaded[0], galleries))
        write("tail", tails(loaded))
        write("scores", scores(loaded[0], max(1, galleries // 4)))


def exponential(spec: ComparedSpec, faces: int, fpir: float) -> float:
    """Return the threshold that an exponential tail gives: linear in the logarithm of the rate."""
    far = -math.expm1(math.log1p(-fpir) / faces)
    fitted = [c for c in spec.thresholds if c.far <= 100 * spec.thresholds[-1].far]
    if far >= fitted[-1].far:
        return threshold_for(spec, far)
    slope = np.polyfit([math.log(c.far) for c in fitted], [c.threshold for c in fitted], 1)[0]
    return float(fitted[-1].threshold + slope * math.log(far / fitted[-1].far))


def own_scores(faces: LabelledFaces, gallery: Gallery, fpir: float) -> float:
    """Return the threshold from the gallery alone: each face is searched for among those of other people.

    The highest tenth of the scores gives an exponential tail.
    """
    people = faces.people[gallery.enrolled]
    best = everyone_else(LabelledFaces(faces.vectors[gallery.enrolled], people, faces.undetected)).strangers
    start = float(np.quantile(best, 0.9))
    return start + float((best[best >= start] - start).mean()) * math.log(0.1 / fpir)


def rules(fused: EmbeddedPopulations, galleries: int) -> str:
    """Return a Markdown table of the rates of several rules for the threshold."""
    spec, faces = fused.embedder.spec, fused.labelled()
    pairs = [Pairs(fused.embedder, *one) for one in fused.populations.values()]
    mean_thresholds = tuple(
        Calibration(
            far=far, threshold=calibration_rules.threshold(calibration_rules.RULES["mean"], pairs, far), tar=0
        )
        for far in FARS
    )
    on_mean = spec.model_copy(update={"thresholds": mean_thresholds})
    candidates: dict[str, Rule] = {
        "every face, normal tail": lambda people, g: threshold_for_fpir(spec, len(g.enrolled), FPIR),
        "every face, exponential tail": lambda people, g: exponential(spec, len(g.enrolled), FPIR),
        "every face, mean FAR of the populations": lambda people, g: threshold_for_fpir(
            on_mean, len(g.enrolled), FPIR
        ),
        "every person": lambda people, g: threshold_for_fpir(
            spec, len(np.unique(people.people[g.enrolled])), FPIR
        ),
        "the gallery's own faces": lambda people, g: own_scores(people, g, FPIR),
        "FAR 0.001": lambda people, g: threshold_for(spec, 1e-3),
    }
    rng = np.random.default_rng(0)
    _, middle, large = SIZES
    drawn = {
        "CelebA, 30 x 3": (CELEBA, [enrol_people(faces[CELEBA], 30, 3, rng) for _ in range(galleries)]),
        "LFW, 660 x 1": (LFW, [enrol_people(faces[LFW], 660, 1, rng) for _ in range(galleries)]),
        f"CelebA, {middle:,} faces": (CELEBA, enrol_randomly(faces[CELEBA], middle, galleries, rng)),
        f"all, {large:,} faces": (ALL, enrol_randomly(faces[ALL], large, galleries, rng)),
    }
    rows = {name: [name] for name in candidates}
    for name, chosen in drawn.values():
        found = [best_faces(faces[name], one) for one in chosen]
        for rule, threshold in candidates.items():
            thresholds = [threshold(faces[name], one) for one in chosen]
            fpir = mean(m.fpir(t) for m, t in zip(found, thresholds, strict=True))
            tpir = mean(m.tpir(t) for m, t in zip(found, thresholds, strict=True))
            rows[rule].append(f"{fpir:.4f}" if name == ALL else f"{fpir:.4f}, {tpir:.4f}")
    return markdown.table(["rule", *drawn], list(rows.values()))


Rule = Callable[[LabelledFaces, Gallery], float]

SCORES: Mapping[str, Score] = {
    "best face": lambda similarity, mean: similarity.max(axis=2),
    "mean vector": lambda similarity, mean: mean,
    "mean of both": lambda similarity, mean: (similarity.max(axis=2) + mean) / 2,
}
"""Scores of a person."""


def scores(fused: EmbeddedPopulations, galleries: int) -> str:
    """Return a Markdown table of the TPIR of the scores of a person, each at its threshold for FPIR 0.01."""
    rows = []
    for name, faces in fused.labelled().items():
        if name in (CELEBA, VGGFACE2):
            for each in (1, 3, 10):
                rng, count = np.random.default_rng(0), len(faces.undetected) // 2
                drawn = [enrol_people(faces, count, each, rng) for _ in range(galleries)]
                cells = []
                for score in SCORES.values():
                    found = (best_people(faces, one, each, score) for one in drawn)
                    cells.append(mean(m.tpir(float(np.quantile(m.strangers, 1 - FPIR))) for m in found))
                rows.append([f"{name}, {count} people", str(each), *(f"{cell:.4f}" for cell in cells)])
    return markdown.table(["gallery", "faces each", *SCORES], rows)


def tails(loaded: Sequence[EmbeddedPopulations]) -> str:
    """Return a Markdown table of thresholds for FAR 1e-5 that come from the higher rates alone."""
    rows = []
    for one in loaded:
        table = {c.far: c for c in one.embedder.spec.thresholds}
        pairs = [Pairs(one.embedder, *faces) for faces in one.populations.values()]
        for lowest in (1e-2, 1e-3, 1e-4):
            spec = one.embedder.spec.model_copy(
                update={"thresholds": tuple(c for c in table.values() if c.far >= lowest)}
            )
            cells = []
            for rule in (threshold_for_fpir, exponential):
                threshold = rule(spec, 1, 1e-5)
                far = max(p.far(threshold) for p in pairs)
                cells.append(f"{threshold:.4f} ({far:.1e})")
            rows.append([f"`{spec.model}`", f"{lowest:g}", f"{table[1e-5].threshold:.4f}", *cells])
    return markdown.table(
        ["model", "lowest rate used", "calibrated", "normal tail (FAR)", "exponential tail (FAR)"], rows
    )


if __name__ == "__main__":
    typer.run(main)
