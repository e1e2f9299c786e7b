"""A detector of the store with a stage of a run, for mining and for studies."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy import ndarray

from app.errors import UnknownModel
from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.pyramid import ImagePyramid
from app.vision.spec import RNetSpec
from tests.training.finished_runs import SHA256, write_finished_run, write_run_file
from training.config.registry import RunError, find
from training.exporting.attribution import attribution_of
from training.exporting.detector_stages import detector_with, export_stage
from training.exporting.published import StageSettings
from training.exporting.trained import stage_spec

MODELS = Path("models")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "cascade_rnet_scratch"


@pytest.fixture(scope="module")
def net(run: Path) -> keras.Model:
    return write_finished_run(run, run.name, ["wider"])


def test_a_stage_is_exported_as_it_is_served(net: keras.Model, run: Path, tmp_path: Path) -> None:
    path = export_stage(run, tmp_path)
    assert path == tmp_path / "cascade_rnet_scratch-rnet.onnx"
    session = OrtSession(path, Device("cpu", threads=1))
    assert isinstance(session.spec, RNetSpec)
    assert session.spec == stage_spec(run, attribution_of([run], "cascade_rnet_scratch"))
    config = find(run.name).CONFIG.model_dump()
    assert (session.spec.crop, session.spec.size) == (config["crop_scale"], config["size"]) == (1.3, 24)
    assert session.spec.research_only
    assert session.spec.source_sha256 == SHA256
    crops: ndarray = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), np.uint8)
    expected = np.asarray(net(crops.astype(np.float32)))
    np.testing.assert_allclose(session.run(crops)["offsets"], expected[:, 1:5], atol=1e-4)


def test_a_run_replaces_a_stage_and_settings_those_in_the_files(net: keras.Model, run: Path) -> None:
    photo = ImagePyramid(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8))
    settings: StageSettings = {"pnet": {"threshold": 0.0, "max_candidates": 7}, "rnet": {"threshold": 0.0}}
    stored = detector_with([], MODELS, settings, "mtcnn")
    replaced = detector_with([run], MODELS, settings, "mtcnn")
    proposals = stored.propose(photo, 14.0)
    assert 0 < len(proposals.scores) <= 7
    np.testing.assert_array_equal(proposals.boxes, replaced.propose(photo, 14.0).boxes)
    before, after = (detector.refine(photo, proposals) for detector in (stored, replaced))
    assert len(after.scores) > 0
    assert before.scores.shape != after.scores.shape or not np.allclose(before.scores, after.scores)


def test_an_unknown_detector_lists_those_of_the_store() -> None:
    with pytest.raises(UnknownModel, match="cascade, mtcnn, mtcnn_here, mtcnn_thorough"):
        detector_with([], MODELS, {}, "sface")


def test_a_run_of_another_kind_is_an_error(tmp_path: Path) -> None:
    landmarks = write_run_file(tmp_path, find("cnn68").CONFIG, ["300w"])
    with pytest.raises(RunError, match="of kind LandmarkConfig, not StageConfig"):
        detector_with([landmarks], MODELS, {}, "mtcnn")
