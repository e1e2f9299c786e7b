"""R- and O-Net's candidates, mined by the served detector with the stages trained so far.

    python -m training.propose --data DATA --out cache/rnet.npz
    python -m training.propose --data DATA --run runs/cascade_rnet --out cache/onet.npz
    python -m training.propose --data DATA --model cascade --portraits --out cache/onet.npz

Stages without a run are those of `--model`; without any run, the candidates are P-Net's or,
with `--refined`, R-Net's. Thresholds are
low, so that what serving lets pass is there, and more. For O-Net, portraits of MTFL get a box each, that lies
around their points as MTCNN's boxes do.
"""

import tempfile
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.device import Device
from app.runtime.model_store import load, read_manifest
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import ModelSession, OrtSession
from app.runtime.timing import Timing
from app.vision.spec import stage_of
from training.cascade_config import Stage, config_of
from training.cascade_recipes import export_run
from training.data import candidates, scenes
from training.data.candidates import Candidates
from training.data.scenes import Portrait, Scene

LEAST_FACE = 14.0
"""Pixels of the faces sought: training learns from some that are smaller than what serving looks for."""

FITTED = 4
"""One in so many portraits is looked at to learn where a face's box lies around its points."""

LOW: dict[Stage, dict[str, object]] = {
    "pnet": {"threshold": 0.1, "max_candidates": 400},
    "rnet": {"threshold": 0.02, "max_candidates": 80},
}
"""Settings of the stages that candidates are mined with."""


def detector(
    runs: list[Path], models: Path, settings: dict[Stage, dict[str, object]], model: str = "mtcnn"
) -> Detector:
    """The served detector over the runs' nets, with the settings given in place of the shipped ones.

    Stages without a run are those of a model of the store.
    """
    device = Device("cpu")
    scheduler = DeviceScheduler(device.slots)
    (entry,) = [m for m in read_manifest(models).models if m.name == model]
    files = [models / file.file for file in entry.files]
    with tempfile.TemporaryDirectory() as folder:
        files += [export_run(run, Path(folder)) for run in runs]
        nets = [OrtSession(path, device, parallel=True) for path in files]
    for net in nets:
        net.spec = net.spec.model_copy(update=settings.get(cast(Stage, stage_of(net.spec)), {}))
    sessions: dict[str, ModelSession] = {stage_of(net.spec): ScheduledSession(net, scheduler) for net in nets}
    return Detector(sessions)


def mine(finder: Detector, photos: list[Scene], refined: bool) -> Candidates:
    """What P-Net, or R-Net after it, proposes in every photograph."""
    found = []
    for i, scene in enumerate(tqdm(photos, desc="candidates", unit="picture", disable=None)):
        of = finder.propose(scene.picture, LEAST_FACE)
        if refined:
            of = finder.refine(scene.picture, of)
        found.append(Candidates(np.full(len(of.scores), i), of.boxes, of.scores))
    columns = zip(*((c.photo, c.boxes, c.scores) for c in found), strict=True)
    return Candidates(*(np.concatenate(column) for column in columns))


def boxes_of(finder: Detector, portraits: list[Portrait]) -> Float32[ndarray, "n 4"]:
    """A box for each portrait, as the detector's lie around the points of every `FITTED`th."""
    points = np.stack([p.points for p in portraits])
    centre, spread = np.tile(points.mean(axis=1), 2), points.std(axis=1).mean(axis=1)[:, None]
    options = DetectOptions(min_face_size=LEAST_FACE, threshold=0.5)
    unit = []
    for i in tqdm(range(0, len(portraits), FITTED), desc="portraits", unit="picture", disable=None):
        faces = finder.detect(portraits[i].picture, options, Timing()).boxes
        middle = centre[i, :2]
        around = np.flatnonzero(((faces[:, :2] < middle) & (faces[:, 2:] > middle)).all(axis=1))
        unit += [(faces[k] - centre[i]) / spread[i] for k in around[:1]]
    if not unit:
        raise ValueError("no portrait's face was found")
    return (centre + np.median(unit, axis=0) * spread).astype(np.float32)


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds `wider/` and `mtfl5/`")],
    out: Annotated[Path, typer.Option(help="the .npz file")],
    run: Annotated[
        list[Path] | None, typer.Option(help="a trained stage's run; several may be named")
    ] = None,
    refined: Annotated[bool, typer.Option(help="what R-Net lets pass, for O-Net")] = False,
    portrayed: Annotated[bool, typer.Option("--portraits", help="boxes for portraits in any case")] = False,
    model: Annotated[str, typer.Option(help="the store's detector for stages without a run")] = "mtcnn",
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
) -> None:
    """Mines the training photographs, and gives every portrait a box."""
    runs = run or []
    finder = detector(runs, models, LOW, model)
    refined = refined or any(config_of(r).stage == "rnet" for r in runs)
    found = mine(finder, scenes.read_wider(data / "wider", "train"), refined)
    portraits = scenes.read_mtfl(data / "mtfl5", "training") if refined or portrayed else []
    served = Detector(load(models, "cpu", names=frozenset({model}))[0].sessions)
    guesses = boxes_of(served, portraits) if portraits else np.empty((0, 4), np.float32)
    out.parent.mkdir(parents=True, exist_ok=True)
    candidates.save(out, found, guesses)
    print(f"{len(found)} candidates, {len(portraits)} portraits")


if __name__ == "__main__":
    typer.run(main)
