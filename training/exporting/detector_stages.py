"""The served detector with some of its stages replaced by training runs, for mining and for studies."""

import tempfile
from pathlib import Path
from typing import cast

from app.errors import UnknownModel
from app.pipeline.detector import Detector
from app.runtime.device import Device
from app.runtime.manifest import read_manifest
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.session import ModelSession, OrtSession
from app.vision.spec import stage_of
from training.config.schema import Stage
from training.exporting.attribution import attribution_of
from training.exporting.published import StageSettings
from training.exporting.trained import stage_recipe
from training.importers.packages import CACHE


def export_stage(run: Path, folder: Path) -> Path:
    """Write the ONNX file of a run of one stage into a folder.

    Returns:
        The path of the file.

    Raises:
        ParityError: ONNX differs from Keras by more than the tolerance.
    """
    recipe = stage_recipe(run, attribution_of([run], run.name))
    path = folder / recipe.file
    recipe.write(recipe.net(CACHE), path, path.with_suffix(".npz"))
    return path


def detector_with(runs: list[Path], models: Path, settings: StageSettings, model: str) -> Detector:
    """Return a detector of the store with the stages of the runs in place of its own.

    Args:
        runs: folders of runs of stages.
        models: the model store.
        settings: settings of stages that replace those in the files.
        model: the detector of the store.

    Raises:
        UnknownModel: the store has no detector of that name.
        RunError: a folder holds a run of another kind.
        FileNotFoundError: a folder holds no run.
    """
    device = Device("cpu")
    scheduler = DeviceScheduler(device.slots)
    detectors = {m.name: m for m in read_manifest(models).models if m.task == "detect"}
    if model not in detectors:
        raise UnknownModel(model, "detect", sorted(detectors))
    files = [models / file.file for file in detectors[model].files]
    with tempfile.TemporaryDirectory() as folder:
        files += [export_stage(run, Path(folder)) for run in runs]
        nets = [OrtSession(path, device, parallel=True) for path in files]
    for net in nets:
        net.spec = net.spec.model_copy(update=settings.get(cast(Stage, stage_of(net.spec)), {}))
    sessions: dict[str, ModelSession] = {stage_of(net.spec): ScheduledSession(net, scheduler) for net in nets}
    return Detector(sessions)
