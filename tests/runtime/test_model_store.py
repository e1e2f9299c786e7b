import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.errors import BadModel, DeviceUnavailable
from app.runtime import model_store, precision
from app.runtime.device import Device, DeviceKind
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.manifest import MANIFEST, read_manifest, sha256
from app.runtime.model_store import LoadOptions
from app.runtime.precision import PrecisionSetting
from app.runtime.scheduler import DeviceScheduler
from app.runtime.session import ModelSession, OrtSession
from app.vision.spec import COSINE_KEY
from tests.runtime.sum_net import RecordingTelemetry

MODELS = Path("models")


@pytest.fixture
def cascade(tmp_path: Path) -> Path:
    """A store with the cascade alone."""
    manifest = json.loads((MODELS / MANIFEST).read_text())
    manifest["models"] = [m for m in manifest["models"] if m["name"] == "mtcnn"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    for file in manifest["models"][0]["files"]:
        shutil.copy(MODELS / file["file"], tmp_path)
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["models"][0].update(changes)
    path.write_text(json.dumps(manifest))


def test_a_store_loads_by_stage(cascade: Path) -> None:
    (model,) = model_store.load(cascade, "cpu")
    assert set(model.sessions) == {"pnet", "rnet", "onet"}
    assert model.entry.task == "detect"


def test_options_reach_the_sessions_and_each_is_told_of_once_it_is_open(cascade: Path) -> None:
    telemetry = RecordingTelemetry()
    opened: list[ModelSession] = []
    (model,) = model_store.load(
        cascade, "cpu", options=LoadOptions(threads=3, telemetry=telemetry), opened=opened.append
    )
    assert opened == list(model.sessions.values())
    assert {session.device for session in opened} == {Device("cpu", threads=3)}
    model.sessions["rnet"].run(np.zeros((5, 24, 24, 3), np.uint8))
    assert sorted(telemetry.batches) == [(1, 1), (1, 2), (1, 2)]  # divided among the three slots


def test_only_the_named_models_are_opened() -> None:
    assert [m.entry.name for m in model_store.load(MODELS, "cpu", names=frozenset({"mtcnn"}))] == ["mtcnn"]
    with pytest.raises(BadModel, match="no model named nobody"):
        model_store.load(MODELS, "cpu", names=frozenset({"nobody"}))


def test_a_changed_file_is_refused_by_name(cascade: Path) -> None:
    path = cascade / "mtcnn-rnet.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BadModel, match=r"mtcnn-rnet\.onnx has sha256"):
        model_store.load(cascade, "cpu")


def test_a_file_swapped_after_it_was_hashed_is_not_opened(
    cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = []

    def session(path: Path, *args: object, **kwargs: object) -> object:
        path.write_bytes(b"another model")
        swapped.append(path.name)
        return OrtSession(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(model_store, "OrtSession", session)
    (model,) = model_store.load(cascade, "cpu")
    assert len(swapped) == len(model.sessions) == 3
    monkeypatch.undo()
    with pytest.raises(BadModel, match="the manifest says"):
        model_store.load(cascade, "cpu")


def test_a_missing_file_is_refused_by_name(cascade: Path) -> None:
    (cascade / "mtcnn-onet.onnx").unlink()
    with pytest.raises(BadModel, match=r"mtcnn-onet\.onnx cannot be read"):
        model_store.load(cascade, "cpu")


def test_a_file_under_another_models_name_is_refused(cascade: Path) -> None:
    edit(cascade, name="other")
    with pytest.raises(BadModel, match=r"says it is mtcnn .*, but the manifest says other"):
        model_store.load(cascade, "cpu")


@pytest.mark.parametrize("text", ["", "{}", '{"models": [], "more": 1}'])
def test_a_manifest_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BadModel, match="is invalid"):
        model_store.load(tmp_path, "cpu")


def test_a_model_listed_twice_is_refused(cascade: Path) -> None:
    path = cascade / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({"models": manifest["models"] * 2}))
    with pytest.raises(BadModel) as caught:
        model_store.load(cascade, "cpu")
    assert caught.value.detail == (
        f"{path} is invalid. The manifest lists mtcnn more than once; list each model once."
    )


@pytest.mark.parametrize(
    "name",
    ["../../etc/hostname", "/etc/hostname", "..", ".", "", "a/b.onnx", "a\\b", "a\0b", "a\n", ".hidden"],
)
def test_a_file_outside_of_the_folder_is_refused(
    cascade: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((cascade / MANIFEST).read_text())
    files = manifest["models"][0]["files"]
    edit(cascade, files=[files[0], {**files[1], "file": name}])
    opened: list[Path] = []
    read = Path.read_bytes

    def read_and_record(path: Path) -> bytes:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_and_record)
    with pytest.raises(BadModel) as caught:
        model_store.load(cascade, "cpu")
    assert "models.0.files.1.file: The value must be the name of a file" in caught.value.detail
    assert "\n" not in caught.value.detail
    assert opened == [cascade / MANIFEST]


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="cannot be read"):
        model_store.load(tmp_path, "cpu")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="is unknown"):
        model_store.load(MODELS, "abacus")


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    """A store with the fused embedder and the models that it needs."""
    manifest = json.loads((MODELS / MANIFEST).read_text())
    needed = {"fused", "sface", "dlib", "mesh68"}
    manifest["models"] = [m for m in manifest["models"] if m["name"] in needed]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    for model in manifest["models"]:
        for file in model["files"]:
            (tmp_path / file["file"]).symlink_to((MODELS / file["file"]).resolve())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("fused", {"mesh68", "sface", "dlib", "fused"}),
        ("dlib", {"mesh68", "dlib"}),
        ("sface", {"sface"}),
    ],
)
def test_what_a_named_model_needs_is_opened_with_it(fused: Path, name: str, opened: set[str]) -> None:
    assert {m.entry.name for m in model_store.load(fused, "cpu", names=frozenset({name}))} == opened


@pytest.mark.parametrize("missing", ["dlib", "mesh68"])
def test_a_needed_model_that_the_manifest_lacks_is_refused(fused: Path, missing: str) -> None:
    path = fused / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["models"] = [m for m in manifest["models"] if m["name"] != missing]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match=f"does not list {missing}, which another model needs"):
        model_store.load(fused, "cpu", names=frozenset({"fused"}))


def test_a_mesh_that_file_and_manifest_name_otherwise_is_refused(fused: Path) -> None:
    path = fused / MANIFEST
    manifest = json.loads(path.read_text())
    del next(m for m in manifest["models"] if m["name"] == "dlib")["mesh"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match="says its face mesh is mesh68, but the manifest says None"):
        model_store.load(fused, "cpu", names=frozenset({"dlib"}))


def test_parts_that_file_and_manifest_name_otherwise_are_refused(fused: Path) -> None:
    path = fused / MANIFEST
    manifest = json.loads(path.read_text())
    next(m for m in manifest["models"] if m["name"] == "fused")["parts"] = ["dlib", "sface"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match="says it consists of"):
        model_store.load(fused, "cpu", names=frozenset({"fused"}))


@pytest.mark.parametrize(
    ("kind", "dynamic_batching", "expected"),
    [
        ("cpu", True, DeviceScheduler),
        ("cpu", False, DeviceScheduler),
        ("cuda", True, BatchingScheduler),
        ("cuda", False, DeviceScheduler),
        ("tensorrt", True, BatchingScheduler),
        ("tensorrt", False, DeviceScheduler),
    ],
)
def test_only_a_gpu_merges_calls_and_only_if_asked_to(
    kind: DeviceKind, dynamic_batching: bool, expected: type[DeviceScheduler]
) -> None:
    telemetry = RecordingTelemetry()
    device = Device(kind, threads=3)
    scheduler = model_store.scheduler_for(
        device, LoadOptions(dynamic_batching=dynamic_batching, telemetry=telemetry)
    )
    assert type(scheduler) is expected
    assert scheduler.slots == device.slots == (3 if kind == "cpu" else 1)
    assert scheduler.telemetry is telemetry


@pytest.fixture
def sface(tmp_path: Path) -> Path:
    """A store with SFace alone, whose files are copies."""
    entry = next(m for m in read_manifest(MODELS).models if m.name == "sface")
    for file in (*entry.files, *entry.int8):
        shutil.copy(MODELS / file.file, tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"models": [entry.model_dump(mode="json")]}))
    return tmp_path


@pytest.mark.parametrize(
    ("instructions", "setting", "file"),
    [
        (True, "auto", "sface-int8.onnx"),
        (True, "int8", "sface-int8.onnx"),
        (True, "float", "sface.onnx"),
        (False, "auto", "sface.onnx"),
    ],
)
def test_the_precision_selects_the_file(
    sface: Path, monkeypatch: pytest.MonkeyPatch, instructions: bool, setting: PrecisionSetting, file: str
) -> None:
    monkeypatch.setattr(precision, "has_int8_instructions", lambda: instructions)
    (model,) = model_store.load(sface, "cpu", options=LoadOptions(precision=setting))
    assert [f.file for f in model.files] == [file]
    assert model.precision == ("int8" if "int8" in file else "float")
    (sface / {"sface.onnx": "sface-int8.onnx"}.get(file, "sface.onnx")).unlink()
    model_store.load(sface, "cpu", options=LoadOptions(precision=setting))  # the other file is not read


def test_int8_is_refused_on_the_first_device_and_not_left_to_the_fallback(
    sface: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_int8_instructions", lambda: True)
    monkeypatch.setattr(model_store, "candidate_devices", lambda name: [Device("cuda"), Device("cpu")])
    with pytest.raises(
        DeviceUnavailable, match="FACE_PRECISION=int8 was requested, but the device is 'cuda'"
    ):
        model_store.load(sface, "auto", options=LoadOptions(precision="int8"))


@pytest.mark.parametrize("cosine", [None, 0.99])
def test_an_int8_file_whose_vectors_are_others_is_refused(
    sface: Path, monkeypatch: pytest.MonkeyPatch, cosine: float | None
) -> None:
    monkeypatch.setattr(precision, "has_int8_instructions", lambda: True)
    path = sface / "sface-int8.onnx"
    model = onnx.load(path)
    (stated,) = (entry for entry in model.metadata_props if entry.key == COSINE_KEY)
    if cosine is None:
        model.metadata_props.remove(stated)
    else:
        stated.value = json.dumps(json.loads(stated.value) | {"mean": cosine})
    onnx.save(model, path)
    changed = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    edit(sface, int8=[changed])
    with pytest.raises(BadModel, match=r"sface-int8\.onnx does not say that the mean cosine"):
        model_store.load(sface, "cpu", options=LoadOptions(precision="int8"))
