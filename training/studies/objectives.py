"""Compare losses and choices of negatives for embeddings: one small net, several seeds, all else equal.

    python -m training.studies.objectives --data cache/people

Each variant is trained from random weights with each seed; a run that exists is read. The table has the equal
error rate on people that are held out, as the mean over the seeds with the standard deviation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer

from training.config.schema import EmbeddingConfig
from training.configs import softmax
from training.engine import checkpoints, embedding_job
from training.engine.checkpoints import Progress
from training.evaluation.user_errors import one_line_errors
from training.models.small_face import small_face
from training.reports import markdown

EPOCHS = 16

_TRIPLET = {
    "objective": "triplet",
    "people_per_batch": 32,
    "images_per_person": 4,
    "batch": 128,
    "learning_rate": 2e-3,
}
VARIANTS: dict[str, dict[str, object]] = {
    "softmax": {},
    "center-loss-0.003": {"center_weight": 0.003},
    "center-loss-0.01": {"center_weight": 0.01},
    "center-loss-0.03": {"center_weight": 0.03},
    "triplet-semi-hard": _TRIPLET | {"mining": "semi_hard"},
    "triplet-violating": _TRIPLET | {"mining": "violating"},
    "triplet-hardest": _TRIPLET | {"mining": "hardest"},
    "triplet-random": _TRIPLET | {"mining": "random"},
}
"""Changes of the config of `softmax`, by the name of the variant."""

DESCRIPTIONS = {
    "softmax": "softmax",
    "center-loss-0.003": "softmax, center loss with lambda 0.003",
    "center-loss-0.01": "softmax, center loss with lambda 0.01",
    "center-loss-0.03": "softmax, center loss with lambda 0.03",
    "triplet-semi-hard": "triplets, semi-hard negatives",
    "triplet-violating": "triplets, any negative within the margin (the tutorial's `select_triplets`)",
    "triplet-hardest": "triplets, hardest negatives",
    "triplet-random": "triplets, random negatives",
}


@dataclass(frozen=True)
class _Run:
    CONFIG: EmbeddingConfig

    def build(self) -> keras.Model:
        return small_face(self.CONFIG.size, self.CONFIG.dimension)


def config_of(variant: str, seed: int) -> EmbeddingConfig:
    """Return the config of a variant with a seed."""
    common = {"name": f"{variant}-{seed}", "epochs": EPOCHS, "seed": seed, "validate_every": 2}
    return EmbeddingConfig.model_validate(softmax.CONFIG.model_dump() | common | VARIANTS[variant])


def trained(variant: str, seed: int, data: Path, runs: Path) -> Progress:
    """Return the progress of a run, which is started, resumed, or read if it is finished."""
    config = config_of(variant, seed)
    folder = runs / config.name
    resume = (folder / checkpoints.FILE).exists()
    return embedding_job.train(_Run(config), config, data, folder, resume)


def table(progress: dict[str, list[Progress]]) -> str:
    """Return the table of the variants in Markdown.

    Args:
        progress: the runs of each variant, one per seed.
    """
    rows = []
    for variant, runs in progress.items():
        errors = np.array([run.best for run in runs])
        spread = f" +- {errors.std(ddof=1):.3f}" if len(errors) > 1 else ""
        each = ", ".join(f"{error:.3f}" for error in errors)
        triplets = ""
        if "active" in runs[0].rows[0]:
            first, last = (np.mean([run.rows[i]["active"] for run in runs]) for i in (0, -1))
            triplets = f"{first:.0f} to {last:.0f}"
        rows.append([DESCRIPTIONS[variant], f"{errors.mean():.3f}{spread}", each, triplets])
    head = ["trained with", "EER", "EER of each seed", "active triplets, first to last epoch"]
    return markdown.table(head, rows)


def main(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder that `prepare identities` wrote.")
    ],
    runs: Annotated[Path, typer.Option(help="The folder of the runs.")] = Path("runs/objectives"),
    precision: Annotated[str, typer.Option(help="Keras dtype policy, such as mixed_bfloat16.")] = "float32",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 3,
    page: Annotated[Path, typer.Option(help="The page whose table is replaced.")] = Path(
        "docs/experiments/recognition-studies.md"
    ),
) -> None:
    """Train all variants with all seeds, and write the table."""
    keras.config.set_dtype_policy(precision)
    progress: dict[str, list[Progress]] = {variant: [] for variant in VARIANTS}
    for seed in range(seeds):
        for variant, done in progress.items():
            done.append(trained(variant, seed, data, runs))
            print(
                f"{variant} seed {seed}: EER {done[-1].best:.4f} after epoch {done[-1].best_epoch}",
                flush=True,
            )
    text = markdown.dated(table(progress))
    print(text)
    markdown.fill(page, "objectives", text)


if __name__ == "__main__":
    with one_line_errors():
        typer.run(main)
