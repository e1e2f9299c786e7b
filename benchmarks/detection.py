"""Detection beside its peers: what each finds on WIDER FACE, its five points, its false alarms, in one run.

    .venv-bench/bin/python -m benchmarks.detection --data DATA
    .venv/bin/python -m training.evaluate curves        # the plot and the tables of docs/detection.md

Every detector's score is let down to 0.02 for precision and recall; what is said of the default threshold
is at each one's own.
"""

import json
import os
import sys
import warnings
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import typer

from app.pipeline.analyzer import Analyzer
from app.runtime.model_store import load
from app.vision.pyramid import AnyImage
from benchmarks.others import MtcnnTf, YuNet
from training import detection_report
from training.evaluate_detection import LOW_THRESHOLD, Found, measure, served

MTCNN_THRESHOLD, YUNET_THRESHOLD = 0.8, 0.9
"""The peers' own defaults."""


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds `wider/` and `mtfl5/`")],
    out: Annotated[Path, typer.Option(help="the file of figures")] = Path(
        "benchmarks/results/detection.json"
    ),
) -> None:
    """Every detector of the store, mtcnn 1.0.0 and YuNet."""
    warnings.simplefilter("ignore")
    analyzer = Analyzer(load(Path("models"), "cpu"))
    figures = [
        measure(served(detector), f"facet {name}", detector.spec.threshold, data)
        for name, detector in analyzer.detectors.items()
    ]
    reference, yunet = MtcnnTf(), YuNet(LOW_THRESHOLD)

    def mtcnn(image: AnyImage) -> Found:
        return reference.found(image, threshold_onet=LOW_THRESHOLD)

    figures.append(measure(mtcnn, "mtcnn 1.0.0", MTCNN_THRESHOLD, data))
    figures.append(measure(yunet.found, "OpenCV YuNet", YUNET_THRESHOLD, data))
    note = f"{date.today()}; `python -m benchmarks.detection --data DATA`."
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"note": note, "rows": [asdict(f) for f in figures]}) + "\n")
    sys.stdout.write(detection_report.tables(figures) + "\n\n" + note + "\n")


if __name__ == "__main__":
    typer.run(main)
