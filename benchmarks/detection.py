"""Accuracy of detectors on WIDER FACE: average precision, five points, and false positives per image.

    .venv-bench/bin/python -m benchmarks.detection --data DATA
    .venv/bin/python -m training.evaluate detection-tables    # plot and tables of docs/accuracy/detection.md

Precision and recall are measured with a score threshold of 0.02. Figures at the default threshold use the
default of each detector.
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
from training.evaluation.detection import LOW_THRESHOLD, Detections, detect_function, measure
from training.reports import detection as detection_report

MTCNN_THRESHOLD, YUNET_THRESHOLD = 0.8, 0.9
"""The default thresholds of the other detectors."""


def main(
    data: Annotated[Path, typer.Option(help="Folder that contains `wider/` and `mtfl5/`.")],
    out: Annotated[Path, typer.Option(help="File for the figures.")] = Path(
        "benchmarks/results/detection.json"
    ),
) -> None:
    """Measure all detectors in models/, mtcnn 1.0.0 and OpenCV's YuNet."""
    warnings.simplefilter("ignore")
    analyzer = Analyzer(load(Path("models"), "cpu"))
    figures = [
        measure(detect_function(detector), f"facet {name}", detector.spec.threshold, data)
        for name, detector in analyzer.detectors.items()
    ]
    reference, yunet = MtcnnTf(), YuNet(LOW_THRESHOLD)

    def mtcnn(image: AnyImage) -> Detections:
        return reference.found(image, threshold_onet=LOW_THRESHOLD)

    figures.append(measure(mtcnn, "mtcnn 1.0.0", MTCNN_THRESHOLD, data))
    figures.append(measure(yunet.found, "OpenCV YuNet", YUNET_THRESHOLD, data))
    note = f"{date.today()}; `python -m benchmarks.detection --data DATA`."
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"note": note, "rows": [asdict(f) for f in figures]}) + "\n")
    sys.stdout.write(detection_report.tables(figures) + "\n\n" + note + "\n")


if __name__ == "__main__":
    typer.run(main)
