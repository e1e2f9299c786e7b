"""FACE_WEIGHTS: with `free`, no file of a research-only model is opened, nor put into an image."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from app.errors import BadModel
from app.main import create_app
from app.runtime import model_store
from app.runtime.manifest import free_models, read_manifest
from app.runtime.precision import has_int8_instructions
from app.settings import Settings
from app.wiring import allowed_models, load_analyzer
from tests.servers import client_of, serving
from tests.sessions import MODELS

FREE = {"cascade", "mtcnn", "mtcnn_thorough", "mesh", "mesh68", "sface", "dlib", "fused"}
RESTRICTED = {entry.name for entry in read_manifest(MODELS).models} - FREE


@pytest.fixture(scope="module")
def only_free_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder with its whole manifest, but without the files of research-only models."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "manifest.json").write_bytes((MODELS / "manifest.json").read_bytes())
    for entry in read_manifest(MODELS).models:
        for file in (*entry.files, *entry.int8) if entry.name in FREE else ():
            (folder / file.file).symlink_to((MODELS / file.file).resolve())
    return folder


def test_the_default_of_every_task_is_free() -> None:
    assert free_models(MODELS) == FREE
    defaults = {entry.task: entry.name for entry in read_manifest(MODELS).models if entry.default}
    assert set(defaults) == {"detect", "landmarks", "embed"}
    assert set(defaults.values()) <= FREE


def test_the_service_with_free_weights(only_free_files: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The files of the other models do not exist, so the start would fail if it opened one."""
    caplog.set_level("INFO", "app.main")
    settings = Settings(device="cpu", models_dir=only_free_files, weights="free")
    with serving(create_app(settings), settings=settings) as url, client_of(url) as client:
        found = client.get("/models").json()
        assert found["weights"] == "free"
        assert {model["name"] for model in found["models"]} == FREE
        assert not any(model["research_only"] for model in found["models"])
        assert {model["task"] for model in found["models"] if model["default"]} == {
            "detect",
            "landmarks",
            "embed",
        }
        assert client.get("/version").json()["weights"] == "free"
        image = Path("tests/photos/obama2.jpg").read_bytes()
        answer = client.post("/landmarks", files={"image": image}).json()
        assert (answer["model"], answer["scheme"], len(answer["faces"])) == ("mesh68", "ibug68", 1)
        refused = client.post("/landmarks?model=landmarks68", files={"image": image}).json()
        assert refused["type"].endswith("unknown-model")
        assert refused["known"] == ["mesh", "mesh68"]
    (ready,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("ready:")]
    int8 = "sface, dlib, fused" if has_int8_instructions() else "none"
    assert ready.endswith(f"(weights: free; int8: {int8})")
    assert {model["name"] for model in found["models"] if model["precision"] == "int8"} == set(
        () if int8 == "none" else int8.split(", ")
    )


def test_all_weights_open_all_files(only_free_files: Path) -> None:
    with pytest.raises(BadModel, match=r"mtcnn_here-pnet\.onnx cannot be read"):
        load_analyzer(Settings(device="cpu", models_dir=only_free_files))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("models", frozenset({"cascade", "siamese"})),
        ("landmarks", "cnn68"),
        ("embedder", "triplet"),
    ],
)
def test_a_setting_that_names_a_restricted_model_stops_the_start(setting: str, value: object) -> None:
    settings = Settings.model_validate({"weights": "free", setting: value})
    with pytest.raises(BadModel, match=rf"^FACE_{setting.upper()} names .*FACE_WEIGHTS=free"):
        allowed_models(settings)
    assert allowed_models(settings.model_copy(update={"weights": "all"})) == settings.models


def test_free_weights_with_chosen_models() -> None:
    settings = Settings(weights="free", models=frozenset({"cascade", "mesh68"}))
    assert allowed_models(settings) == frozenset({"cascade", "mesh68"})


@pytest.mark.parametrize(("name", "says"), [("cnn15", "is"), ("mesh", "is not")])
def test_a_manifest_that_contradicts_the_file_is_refused(tmp_path: Path, name: str, says: str) -> None:
    manifest = json.loads((MODELS / "manifest.json").read_text())
    (entry,) = [model for model in manifest["models"] if model["name"] == name]
    entry["research_only"] = not entry.get("research_only", False)
    (tmp_path / "manifest.json").write_text(json.dumps({"models": [entry]}))
    for file in entry["files"]:
        (tmp_path / file["file"]).symlink_to((MODELS / file["file"]).resolve())
    with pytest.raises(BadModel, match=f"says it {says} for research only"):
        model_store.load(tmp_path, "cpu")


def select(folder: Path, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the script that the container file runs."""
    monkeypatch.setattr(sys, "argv", ["select_models.py", str(folder), weights])
    runpy.run_path("docker/select_models.py", run_name="__main__")


def test_an_image_with_free_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_bytes((MODELS / "manifest.json").read_bytes())
    for path in MODELS.glob("*.onnx"):
        (tmp_path / path.name).touch()
    before = sorted(path.name for path in tmp_path.iterdir())
    select(tmp_path, "all", monkeypatch)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    select(tmp_path, "free", monkeypatch)
    entries = read_manifest(tmp_path).models
    assert {entry.name for entry in entries} == FREE
    files = {file.file for entry in entries for file in (*entry.files, *entry.int8)}
    assert {path.name for path in tmp_path.iterdir()} == files | {"manifest.json"}
    with pytest.raises(SystemExit, match="must be all or free"):
        select(tmp_path, "some", monkeypatch)


def test_an_image_with_free_weights_has_no_model_without_a_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [{"name": name, "files": [{"file": f"{name}.onnx"}]} for name in ("a", "b")]
    (tmp_path / "manifest.json").write_text(
        json.dumps({"models": [listed[0], listed[1] | {"unlicensed": True}]})
    )
    for name in ("a", "b"):
        (tmp_path / f"{name}.onnx").touch()
    select(tmp_path, "free", monkeypatch)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "manifest.json"]


def test_the_container_file_uses_the_script_for_both_images() -> None:
    text = Path("docker/service.Dockerfile").read_text()
    assert 'RUN python select_models.py models "${WEIGHTS}"' in text
    assert text.count("COPY --from=models /srv/facet/models/ models/") == 2
    assert text.count("COPY models/ models/") == 1
    assert text.count("FACE_WEIGHTS=${WEIGHTS}") == 2
