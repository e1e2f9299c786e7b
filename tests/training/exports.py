"""The command `training.export`, and images of people to calibrate on."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import typer
from PIL import Image as Pil
from typer.testing import CliRunner, Result

from training import export

STRANGERS = [f"stranger{i}" for i in range(20)]
"""People whom the runs of `finished_runs` do not know."""


def write_photos(folder: Path, people: Iterable[str], images: int = 2, suffix: str = ".png") -> Path:
    """Write images of people, each of whom has a pattern of colours; return the folder."""
    for person in people:
        seed = int.from_bytes(person.encode(), "big") % 2**32
        pattern = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        (folder / person).mkdir(parents=True)
        for i in range(1, images + 1):
            image = Pil.fromarray(np.clip(pattern.astype(int) + 4 * i, 0, 255).astype(np.uint8))
            image.resize((120, 90), Pil.Resampling.BILINEAR).save(
                folder / person / f"{person}_{i:04d}{suffix}"
            )
    return folder


def command(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(export.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def exported(models: Path, *arguments: str | Path) -> str:
    """Run the command, which must succeed, on a model folder; return its output."""
    result = command(*arguments, "--models", models)
    assert result.exit_code == 0, result.output
    return result.output


def assert_refused(result: Result, message: str, models: Path) -> None:
    """Assert that the command ended with one line and wrote nothing."""
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert message in result.output
    assert not models.exists()
