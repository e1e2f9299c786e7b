"""Write the generated tables of the documentation's pages from recorded figures.

`training.evaluate` offers each function as a subcommand.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from training.evaluation.detection import DetectionFigures
from training.reports import detection, landmarks, recognition
from training.reports.markdown import fill

Models = Annotated[Path, typer.Option(help="The model store.")]
Page = Annotated[Path, typer.Option(help="The page whose tables are replaced.")]
Plot = Annotated[Path, typer.Option(help="The PNG file of the plot.")]

DETECTION_PAGE = Path("docs/accuracy/detection.md")
LANDMARK_PAGE = Path("docs/accuracy/landmarks.md")
RECOGNITION_PAGE = Path("docs/accuracy/recognition.md")
STUDIES_PAGE = Path("docs/experiments/recognition-studies.md")


def detection_tables(
    results: Annotated[Path, typer.Option(help="The JSON file that benchmarks.detection wrote.")] = Path(
        "benchmarks/results/detection.json"
    ),
    page: Page = DETECTION_PAGE,
    out: Plot = Path("docs/images/detection.png"),
) -> None:
    """Write the figures of benchmarks.detection into the page that compares detectors, and the plot."""
    report = json.loads(results.read_text())
    figures = [DetectionFigures(**row) for row in report["rows"]]
    detection.plot(figures, out)
    fill(page, "figures", detection.tables(figures) + "\n\n" + report["note"])


def landmark_tables(models: Models = Path("models"), page: Page = LANDMARK_PAGE) -> None:
    """Write the recorded figures of all landmark nets into the page that compares them."""
    fill(page, "figures", landmarks.comparison(models))


def recognition_tables(
    models: Models = Path("models"),
    page: Page = RECOGNITION_PAGE,
    studies: Annotated[Path, typer.Option(help="The page of the runs with triplet loss.")] = STUDIES_PAGE,
    records: Annotated[Path, typer.Option(help="The folder of recorded runs.")] = Path("training/records"),
) -> None:
    """Write figures, thresholds and runs with triplet loss of all embedders into their pages."""
    fill(page, "figures", recognition.figures(models))
    fill(page, "thresholds", recognition.thresholds(models))
    fill(page, "populations", recognition.populations(models))
    fill(studies, "mining", recognition.mining(records))
