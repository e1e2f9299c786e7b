"""The calibration file: its format, and the models it is valid for."""

import json
import pickle
import re
import resource
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadModel
from app.pipeline.verifier import threshold_for
from app.runtime import model_store
from app.runtime.manifest import Manifest
from app.runtime.model_store import LoadOptions
from app.service.calibration_file import CalibrationFile
from app.settings import Settings
from app.vision.spec import ComparedSpec
from app.wiring import load_analyzer
from tests.service.calibrations import calibration_file
from tests.stores import MODELS, entries, write_store


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = calibration_file()
    file.write(tmp_path / "c.json")
    assert CalibrationFile.read(tmp_path / "c.json") == file
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_no_other_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "c.json.part").write_text("another file")
    calibration_file().write(tmp_path / "c.json")
    assert (tmp_path / "c.json.part").read_text() == "another file"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        calibration_file().write(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "c.json.part", "folder"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    file, old = tmp_path / "c.json", calibration_file()
    old.write(file)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            calibration_file("dlib").write(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert CalibrationFile.read(file) == old
    assert list(tmp_path.iterdir()) == [file]


def test_the_settings_read_the_file_once_and_pass_it_on_to_worker_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calibration_file().write(tmp_path / "c.json")
    monkeypatch.setenv("FACE_CALIBRATION", str(tmp_path / "c.json"))
    settings = Settings()
    (tmp_path / "c.json").unlink()
    assert pickle.loads(pickle.dumps(settings)).calibration == calibration_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"created": "2026-01-02T00:00:00"}, "created: Input should have timezone info"),
        ({"embedders": {}}, "embedders: Dictionary should have at least 1 item"),
        ({"thresholds": []}, "embedders.sface.thresholds: Tuple should have at least 1 item"),
        ({"thresholds": "reversed"}, "embedders.sface: The rates must descend"),
        ({"default_far": 0.5}, "embedders.sface: default_far must be one of the rates"),
        ({"weights": {}}, "embedders.sface.weights: Dictionary should have at least 1 item"),
        (
            {"probability": {"slope": -1, "offset": 0}},
            "embedders.sface.probability.slope: Input sho",
        ),
    ],
)
def test_an_invalid_file(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = json.loads(calibration_file().model_dump_json())
    inner = content["embedders"]["sface"]
    if change == {"thresholds": "reversed"}:
        change = {"thresholds": inner["thresholds"][::-1]}
    (inner if next(iter(change)) in inner else content).update(change)
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f"not a valid calibration file ({message}")):
        CalibrationFile.read(tmp_path / "c.json")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_threshold_is_a_finite_number(tmp_path: Path, value: str) -> None:
    text = calibration_file().model_dump_json().replace("0.42", value)
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match="not a valid calibration file"):
        CalibrationFile.read(tmp_path / "c.json")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The file cannot be read: No such file or directory"):
        CalibrationFile.read(tmp_path / "none")
    with pytest.raises(ValueError, match="The file cannot be read: Is a directory"):
        CalibrationFile.read(tmp_path)
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        CalibrationFile.read(tmp_path / "large")


MANIFEST = Manifest(models=tuple(entries(["cascade", "mtcnn", "sface", "dlib"])))


@pytest.mark.parametrize(
    ("file", "detector", "loaded", "message"),
    [
        (calibration_file("nobody"), "cascade", None, "'nobody', which is not an embedder"),
        (calibration_file("mtcnn"), "cascade", None, "'mtcnn', which is not an embedder"),
        (calibration_file(), "mtcnn", None, "the detector cascade, but the default detector is mtcnn"),
        (
            calibration_file(),
            "cascade",
            {"cascade", "dlib"},
            "sface, which is not loaded. Add it to FACE_MODELS",
        ),
        (
            calibration_file(weights=("cascade", "sface", "triplet")),
            "cascade",
            None,
            "sface with another triplet.onnx than that of the model folder",
        ),
    ],
)
def test_a_file_for_other_models(
    file: CalibrationFile, detector: str, loaded: set[str] | None, message: str
) -> None:
    with pytest.raises(BadModel, match=re.escape(message)):
        file.calibrations(MANIFEST, detector, loaded)


def test_a_file_for_other_weights() -> None:
    file = calibration_file()
    (calibration,) = file.embedders.values()
    changed = calibration.model_copy(update={"weights": calibration.weights | {"sface.onnx": "0" * 64}})
    file = file.model_copy(update={"embedders": {"sface": changed}})
    with pytest.raises(BadModel, match=r"another sface\.onnx than that of the model folder"):
        file.calibrations(MANIFEST, "cascade", None)


def test_a_file_that_lacks_a_net_of_the_embedder() -> None:
    with pytest.raises(BadModel, match=r"another cascade-pnet\.onnx than that of the model folder"):
        calibration_file(weights=("sface",)).calibrations(MANIFEST, "cascade", None)


def test_the_specs_of_loaded_models_have_the_calibration(tmp_path: Path) -> None:
    calibrations = calibration_file().calibrations(MANIFEST, "cascade", None)
    loaded = model_store.load(
        MODELS, "cpu", frozenset({"sface", "dlib"}), LoadOptions(calibrations=calibrations)
    )
    specs = {model.entry.name: next(iter(model.sessions.values())).spec for model in loaded}
    spec, other = specs["sface"], specs["dlib"]
    assert isinstance(spec, ComparedSpec)
    assert isinstance(other, ComparedSpec)
    assert threshold_for(spec, 0.01) == 0.42
    assert (spec.default_far, spec.probability) == (0.001, calibrations["sface"].probability)
    assert spec.calibrated_on == (
        "the operator's images (FACE_CALIBRATION, 2026-01-02): 30 people, 150 images, 300 genuine and 10875 "
        "impostor pairs"
    )
    assert "FACE_CALIBRATION" not in str(other.calibrated_on)


def test_a_service_loads_every_calibrated_embedder_and_a_command_need_not(tmp_path: Path) -> None:
    folder = write_store(tmp_path, ["cascade", "mesh68", "sface", "dlib"])
    settings = Settings(
        models_dir=folder, models=frozenset({"cascade", "dlib"}), device="cpu", calibration=calibration_file()
    )
    with pytest.raises(BadModel, match="sface, which is not loaded"):
        load_analyzer(settings)
    analyzer = load_analyzer(settings, only={"detect": None, "embed": None})
    assert list(analyzer.embedders) == ["dlib"]


def test_the_settings_choose_the_detector_and_a_command_may_use_another(tmp_path: Path) -> None:
    folder = write_store(tmp_path, ["cascade", "mtcnn", "sface"])
    settings = Settings(models_dir=folder, device="cpu", calibration=calibration_file())
    assert list(load_analyzer(settings, only={"detect": "mtcnn"}).detectors) == ["mtcnn"]
    with pytest.raises(BadModel, match="the default detector is mtcnn"):
        load_analyzer(settings.model_copy(update={"detector": "mtcnn"}))
