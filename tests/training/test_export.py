"""`python -m training.export`: files, golden files, manifest and cards of runs, and its errors."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from app.runtime.device import Device
from app.runtime.model_store import MANIFEST, read_manifest, sha256
from app.runtime.session import OrtSession
from tests.training.finished_runs import write_finished_run, write_run_file
from training import export
from training.config.registry import BEST_WEIGHTS, find

CASCADE = ("cascade_pnet", "cascade_rnet_scratch", "cascade_onet")
SOURCES = {"landmarks15": ["300w"], "softmax": ["x"], "siamese": ["x"]} | {
    name: ["wider"] for name in CASCADE
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, sources in SOURCES.items():
        write_finished_run(folder / name, name, sources)
    return folder


def command(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(export.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def exported(models: Path, *arguments: str | Path) -> str:
    """Run the command, which must succeed, on a model folder; return its output."""
    result = command(*arguments, "--models", models)
    assert result.exit_code == 0, result.output
    return result.output


def entries(models: Path) -> list[dict[str, Any]]:
    models_listed: list[dict[str, Any]] = json.loads((models / MANIFEST).read_text())["models"]
    return models_listed


def assert_served(models: Path, name: str, files: list[str]) -> None:
    """Assert that the manifest describes the files, and that each returns what its golden file says."""
    (model,) = [model for model in read_manifest(models).models if model.name == name]
    assert [file.file for file in model.files] == files
    for file in model.files:
        path = models / file.file
        assert (file.bytes, file.sha256) == (path.stat().st_size, sha256(path))
        session = OrtSession(path, Device("cpu", threads=1))
        assert session.spec.model == name
        with np.load(models / "golden" / f"{path.stem}.npz") as golden:
            (inputs,) = set(golden.files) & {"image", "pair"}
            outputs = session.run(golden[inputs])
            for output in set(golden.files) - {inputs, "tolerance"}:
                np.testing.assert_allclose(outputs[output], golden[output], atol=float(golden["tolerance"]))


CALIBRATION = {
    "calibrated_on": "something",
    "thresholds": [{"far": 0.01, "threshold": 0.3, "tar": 0.9}],
    "default_far": 0.01,
}


class Store(NamedTuple):
    """A model folder with one model of each kind, and what the commands printed."""

    folder: Path
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def store(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("models")
    (folder / "calibration.json").write_text(json.dumps({"mine": CALIBRATION}))
    outputs = {
        "landmarks15": exported(folder, runs / "landmarks15"),
        "mine": exported(folder, runs / "softmax", "--name", "mine"),
        "siamese": exported(folder, runs / "siamese"),
        "detector": exported(folder, *(runs / name for name in CASCADE), "--name", "detector"),
    }
    return Store(folder, outputs)


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Path:
    """A copy of the store in which `mine` is the default."""
    folder = shutil.copytree(store.folder, tmp_path / "models")
    models = entries(folder)
    for entry in models:
        entry["default"] = entry["name"] == "mine"
    (folder / MANIFEST).write_text(json.dumps({"models": models}))
    return folder


@pytest.mark.parametrize(
    ("name", "task", "files"),
    [
        ("landmarks15", "landmarks", ["landmarks15.onnx"]),
        ("mine", "embed", ["mine.onnx"]),
        ("siamese", "embed", ["siamese.onnx", "siamese-head.onnx"]),
        ("detector", "detect", [f"detector-{stage}.onnx" for stage in ("pnet", "rnet", "onet")]),
    ],
)
def test_runs_of_every_kind_become_models(store: Store, name: str, task: str, files: list[str]) -> None:
    assert_served(store.folder, name, files)
    (entry,) = [entry for entry in entries(store.folder) if entry["name"] == name]
    assert (entry["task"], entry["default"]) == (task, False)
    *lines, last = store.outputs[name].splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(store.folder / file) for file in files]
    assert all("ONNX differs from Keras by at most " in line for line in lines)
    assert last == f"{store.folder / MANIFEST}: {name} ({task})"


def test_models_are_listed_in_the_order_of_their_export(store: Store) -> None:
    names = ["landmarks15", "mine", "siamese", "detector"]
    assert [entry["name"] for entry in entries(store.folder)] == names
    cards = (store.folder / "README.md").read_text()
    positions = [cards.index(f"## {name}\n") for name in names]
    assert positions == sorted(positions)


def test_calibrated_thresholds_are_written_into_the_spec(store: Store) -> None:
    spec: Any = OrtSession(store.folder / "mine.onnx", Device("cpu", threads=1)).spec
    assert spec.thresholds[0].threshold == 0.3


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_replaced_model_stays_the_default_and_the_others_are_untouched(runs: Path, copy: Path) -> None:
    listed, files = entries(copy), contents(copy)
    exported(copy, runs / "siamese", "--name", "mine")
    assert_served(copy, "mine", ["mine.onnx", "mine-head.onnx"])
    for before, after in zip(listed, entries(copy), strict=True):
        assert (before["name"], before["default"]) == (after["name"], after["default"])
        assert (before == after) is (before["name"] != "mine")
    now = contents(copy)
    changed = {path.relative_to(copy).as_posix() for path in now if files.get(path) != now[path]}
    assert changed == {
        MANIFEST, "README.md", "mine.onnx", "mine-head.onnx", "golden/mine.npz", "golden/mine-head.npz"
    }  # fmt: skip
    assert set(files) <= set(now)


def test_a_name_of_a_model_for_another_task_is_refused(runs: Path, copy: Path) -> None:
    before = contents(copy)
    result = command(*(runs / name for name in CASCADE), "--name", "mine", "--models", copy)
    assert (result.exit_code, result.output) == (
        1,
        f"{copy} already has a model mine for embed, not detect. Give another --name.\n",
    )
    assert contents(copy) == before


def assert_refused(result: Result, message: str, models: Path) -> None:
    """Assert that the command ended with one line and wrote nothing."""
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert message in result.output
    assert not models.exists()


def test_a_cascade_needs_three_runs_and_a_name(runs: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    paths = [runs / name for name in CASCADE]
    one = command(paths[0], "--name", "mine", "--models", models)
    assert_refused(one, "one run each of P-, R- and O-Net", models)
    unnamed = command(*paths, "--models", models)
    assert_refused(unnamed, "A cascade of three runs needs --name.", models)


def test_a_folder_without_a_run_or_without_weights_is_named(runs: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    missing = command(tmp_path / "none", "--models", models)
    assert_refused(missing, f"{tmp_path / 'none' / 'run.json'} does not exist. Give the folder of", models)
    unfinished = write_run_file(tmp_path / "run", find("softmax").CONFIG, ["x"])
    result = command(unfinished, "--models", models)
    assert_refused(result, f"{unfinished / BEST_WEIGHTS} does not exist. Give the folder of", models)


def test_a_net_beyond_the_tolerance_is_one_line(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.exporting.trained.STAGE_TOLERANCE", -1.0)
    models = tmp_path / "models"
    result = command(*(runs / name for name in CASCADE), "--name", "mine", "--models", models)
    assert_refused(result, "mine-pnet.onnx: ONNX differs from Keras by", models)
