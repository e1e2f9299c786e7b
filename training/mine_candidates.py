r"""Mine the candidates that R- and O-Net are trained on.

    python -m training.mine_candidates --data DATA --out cache/rnet.npz
    python -m training.mine_candidates --data DATA --run runs/cascade_rnet --out cache/onet.npz
    python -m training.mine_candidates --data DATA --model cascade --portraits --out cache/onet.npz
    python -m training.mine_candidates --data DATA --run runs/mtcnn_here_pnet --run runs/mtcnn_here_rnet \
        --faces cache/300w --out cache/onet.npz

A detector of the store, with the given runs in place of its stages, proposes boxes in WIDER FACE's training
photos. Its thresholds are lower than in the service, so that the candidates include those that the service
drops. For O-Net, the detector also gives each portrait of MTFL, and each face of `--faces`, the box in which
O-Net gets it.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.detector import Detector
from training.config.registry import config_of
from training.config.schema import StageConfig
from training.data.datasets import scenes
from training.data.datasets.scenes import Scene
from training.data.prepare.candidates import mine, portrait_boxes
from training.data.storage import candidates
from training.evaluation.user_errors import UserError, one_line_errors
from training.exporting.detector_stages import detector_with
from training.exporting.published import StageSettings

LOW_THRESHOLDS: StageSettings = {
    "pnet": {"threshold": 0.004, "max_candidates": 400},
    "rnet": {"threshold": 0.02, "max_candidates": 80},
}


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds wider/ and mtfl5/.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")],
    run: Annotated[list[Path] | None, typer.Option(help="Run of a stage. May be repeated.")] = None,
    refined: Annotated[bool, typer.Option(help="Mine behind R-Net, for O-Net.")] = False,
    with_portraits: Annotated[
        bool, typer.Option("--portraits", help="Write boxes of the portraits in any case.")
    ] = False,
    faces: Annotated[
        Path | None, typer.Option(help="O-Net: a prepared folder of faces with 68 points.")
    ] = None,
    model: Annotated[str, typer.Option(help="Detector of the store for stages without a run.")] = "mtcnn",
    models: Annotated[Path, typer.Option(help="The model store.")] = Path("models"),
) -> None:
    """Mine candidates in the training photos, and for O-Net the box of each portrait."""
    with one_line_errors():
        detector = detector_with(run or [], models, LOW_THRESHOLDS, model)
        refined = refined or any(config_of(r, StageConfig).stage == "rnet" for r in run or [])
        photos, boxes = _read(data, faces, detector if refined or with_portraits else None)
    mined = mine(detector, photos, refined)
    out.parent.mkdir(parents=True, exist_ok=True)
    candidates.save(out, mined, boxes)
    print(f"{len(mined)} candidates, {len(boxes)} portraits")


def _read(
    data: Path, faces: Path | None, detector: Detector | None
) -> tuple[list[Scene], Float32[ndarray, "n 4"]]:
    """Return the training photos, and a box for each portrait if there is a detector.

    Raises:
        UserError: a label file is damaged, the detector finds no face in the portraits, or there are faces
            but no detector for them.
    """
    if faces and detector is None:
        raise UserError("--faces needs --portraits, --refined or a run of R-Net. Add one, or leave it out.")
    boxes = np.empty((0, 4), np.float32)
    try:
        if detector is not None:
            boxes = portrait_boxes(detector, scenes.read_portraits(data, faces))
        return scenes.read_wider(data / "wider", "train"), boxes
    except ValueError as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    typer.run(main)
