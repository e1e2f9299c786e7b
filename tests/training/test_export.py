"""`python -m training.export`: files, golden files, manifest and cards of runs, and its errors."""

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from app.errors import BadModel
from app.main import create_app
from app.runtime.device import Device
from app.runtime.manifest import MANIFEST, read_manifest, sha256
from app.runtime.session import OrtSession
from app.settings import Settings
from app.vision.spec import UNSPECIFIED_LICENCE, Calibration, ComparedSpec, SimilarityCalibration
from app.wiring import load_analyzer
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving
from tests.stores import write_store
from tests.training.exports import STRANGERS, assert_refused, command, exported, write_photos
from tests.training.finished_runs import SHA256, write_finished_run, write_run_file
from training import export
from training.config.registry import BEST_WEIGHTS, find
from training.evaluation.calibrate import keep_calibration
from training.exporting.attribution import RESEARCH_ONLY
from training.exporting.calibration import read_calibration
from training.reports import model_cards

AGAIN = Path("tests/photos/obama2.jpg")
CASCADE = ("cascade_pnet", "cascade_rnet_scratch", "cascade_onet")
EMBEDDERS = ("softmax", "distilled", "centerloss", "triplet", "siamese_softmax", "siamese")
ONLY_READ = ("distilled", "siamese_softmax")
"""Runs of which the record is read alone."""
SOURCES = (
    {"landmarks15": ["300w"]}
    | {name: ["folders:staff"] for name in EMBEDDERS}
    | {name: ["wider"] for name in CASCADE}
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, sources in SOURCES.items():
        if name in ONLY_READ:
            write_run_file(folder / name, find(name).CONFIG, sources)
        else:
            write_finished_run(folder / name, name, sources)
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people whom the runs do not know, and two whom they do."""
    return write_photos(tmp_path_factory.mktemp("faces") / "visitors", [*STRANGERS, "bert", "cleo"])


@pytest.fixture(scope="module", autouse=True)
def fake_detector() -> Iterator[None]:
    """Calibrate with a detector that finds a face in every image that is not dark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "detector_of", lambda models: fake_analyzer())
        yield


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


class Store(NamedTuple):
    """A model folder with a model of each kind, and what the commands printed."""

    folder: Path
    outputs: dict[str, str]


FILES = {
    "points": ["points.onnx"],
    "mine": ["mine.onnx"],
    "centred": ["centred.onnx"],
    "triples": ["triples.onnx"],
    "pairs": ["pairs.onnx", "pairs-head.onnx"],
    "detector": [f"detector-{stage}.onnx" for stage in ("pnet", "rnet", "onet")],
}
"""The models of the store, in order, and their files."""

LICENCE = ("--licence", "cc-by-4.0")


@pytest.fixture(scope="module")
def store(runs: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("own") / "models"
    calibrated = ("--calibrate", people)
    outputs = {
        "points": exported(folder, runs / "landmarks15", "--name", "points"),
        "mine": exported(folder, runs / "softmax", "--name", "mine", *LICENCE, *calibrated),
        "centred": exported(folder, runs / "centerloss", "--name", "centred", "--source", "our doors, 2026"),
        "triples": exported(folder, runs / "triplet", "--name", "triples", "--licence", "CC-BY-NC-4.0"),
        "pairs": exported(folder, runs / "siamese", "--name", "pairs", *calibrated),
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


TASKS = {"points": "landmarks", "detector": "detect"}


@pytest.mark.parametrize("name", FILES)
def test_runs_of_every_kind_become_models(store: Store, name: str) -> None:
    assert_served(store.folder, name, FILES[name])
    (entry,) = [entry for entry in entries(store.folder) if entry["name"] == name]
    task = TASKS.get(name, "embed")
    assert (entry["task"], entry["default"]) == (task, False)
    lines = store.outputs[name].splitlines()
    for file in FILES[name]:
        assert any(
            line.startswith(f"{store.folder / file}: ONNX differs from Keras by at most ") for line in lines
        )
    assert any(line.startswith(f"{store.folder / MANIFEST}: {name} ({task}), licence ") for line in lines)


def test_models_are_listed_in_the_order_of_their_export(store: Store) -> None:
    assert [entry["name"] for entry in entries(store.folder)] == [*FILES]
    cards = (store.folder / "README.md").read_text()
    positions = [cards.index(f"## {name}\n") for name in FILES]
    assert positions == sorted(positions)


def spec_of(store: Store, file: str) -> Any:
    return OrtSession(store.folder / file, Device("cpu", threads=1)).spec


STAFF = "trained here on faces of the folder staff"


@pytest.mark.parametrize(
    ("name", "licence", "research_only", "source"),
    [
        ("points", RESEARCH_ONLY, True, "trained here on 300-W (HELEN, AFW, LFPW training parts), from the"),
        ("mine", "CC-BY-4.0", False, f"{STAFF}: training/configs/softmax.py"),
        (
            "centred",
            UNSPECIFIED_LICENCE,
            False,
            "trained here on our doors, 2026, from the weights of distilled: ",
        ),
        (
            "triples",
            "CC-BY-NC-4.0",
            True,
            f"{STAFF}, from the weights of distilled: training/configs/triplet.py",
        ),
        ("pairs", UNSPECIFIED_LICENCE, False, f"{STAFF}, from the weights of siamese_softmax: "),
        ("detector", RESEARCH_ONLY, True, "trained here on WIDER FACE"),
    ],
)
def test_licence_and_source_are_those_of_the_users_data(
    store: Store, name: str, licence: str, research_only: bool, source: str
) -> None:
    for file in FILES[name]:
        spec = spec_of(store, file)
        assert (spec.licence, spec.research_only, spec.source_sha256) == (licence, research_only, SHA256)
        assert spec.source.startswith(source)
    (entry,) = [entry for entry in entries(store.folder) if entry["name"] == name]
    assert entry.get("unlicensed", False) is (licence == UNSPECIFIED_LICENCE)
    (row,) = [line for line in (store.folder / "README.md").read_text().splitlines() if f"(#{name})" in line]
    assert f"| {'research only' if research_only else licence} |" in row


@pytest.mark.parametrize("name", ["mine", "pairs"])
def test_thresholds_are_calibrated_on_people_whom_the_run_does_not_know(store: Store, name: str) -> None:
    spec, output = spec_of(store, f"{name}.onnx"), store.outputs[name]
    assert spec.calibrated_on.startswith("all impostor pairs of visitors, ")
    assert spec.thresholds[0].far == 0.1
    assert spec.default_far == spec.thresholds[-1].far
    assert "visitors: 20 people, 40 images with a face, 20 genuine and 760 impostor pairs" in output
    assert "2 people are left out, because the run knows people of these names: bert, cleo" in output
    rates = ", ".join(f"{one.far:g}" for one in spec.thresholds)
    assert f"calibrated for FAR {rates}; the default is {spec.default_far:g}" in output
    assert "Lower rates cannot be measured on so few people." in output
    assert (spec.probability is None) is (name == "pairs")


def test_an_embedder_without_thresholds_is_told_of(store: Store) -> None:
    for name, output in store.outputs.items():
        assert ("It has no thresholds" in output) is (name in {"centred", "triples"})


def test_the_service_serves_both_folders(store: Store, tmp_path: Path) -> None:
    """The runs are not needed, and the models of both folders answer."""
    shipped = write_store(tmp_path, ["cascade", "mesh68", "sface"])
    settings = Settings(device="cpu", models_dir=(shipped, store.folder), weights="all")
    faces = {"image_a": Path("tests/photos/obama.jpg").read_bytes(), "image_b": AGAIN.read_bytes()}
    image = {"image": AGAIN.read_bytes()}
    with serving(create_app(settings)) as url, client_of(url) as client:
        models = {model["name"]: model for model in client.get("/models").json()["models"]}
        assert [*models] == ["cascade", "mesh68", "sface", *FILES]
        assert [name for name, model in models.items() if model["default"]] == ["cascade", "mesh68", "sface"]
        assert models["mine"]["licence"] == "CC-BY-4.0"
        assert client.post("/detect?model=detector", files=image).status_code == 200
        points = client.post("/landmarks?model=points", files=image).json()
        assert (points["model"], points["detector"], len(points["faces"])) == ("points", "cascade", 1)
        for name in ("mine", "centred", "triples"):
            vectors = client.post(f"/embed?model={name}", files=image).json()
            assert (vectors["model"], len(vectors["faces"])) == (name, 1)
        for name in ("mine", "pairs"):
            answer = client.post(f"/verify?model={name}", files=faces)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert (body["model"], body["far"]) == (name, models[name]["default_far"])
            assert body["verified"] is (body["similarity"] >= body["threshold"])
        assert client.post("/verify?model=centred", files=faces).status_code == 422
        assert client.post("/verify?model=centred&threshold=0.5", files=faces).status_code == 200


def test_only_what_is_free_is_served_with_free_weights(store: Store, tmp_path: Path) -> None:
    shipped = write_store(tmp_path, ["cascade", "mesh68"])
    settings = Settings(device="cpu", models_dir=(shipped, store.folder), weights="free")
    assert {model.entry.name for model in load_analyzer(settings).models} == {"cascade", "mesh68", "mine"}
    with pytest.raises(BadModel, match="FACE_EMBEDDER names pairs, but FACE_WEIGHTS=free excludes"):
        load_analyzer(settings.model_copy(update={"embedder": "pairs"}))


def test_a_siamese_model_keeps_its_head_without_its_run(runs: Path, store: Store, tmp_path: Path) -> None:
    moved = shutil.copytree(runs / "siamese", tmp_path / "elsewhere/run of mine")
    folder = tmp_path / "models"
    exported(folder, moved, "--name", "pairs")
    assert OrtSession(folder / "pairs.onnx", Device("cpu")).spec.research_only  # its start is not beside it
    shutil.rmtree(moved)
    exported(folder, runs / "softmax", "--name", "other")
    assert_served(folder, "pairs", FILES["pairs"])


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


def with_figures(models: Path, name: str) -> tuple[SimilarityCalibration, str]:
    """Calibrate a model and record figures of it, as `training.evaluate` does; return what was written."""
    calibration = SimilarityCalibration(
        calibrated_on="some people",
        thresholds=(Calibration(far=0.01, threshold=0.3, tar=0.9),),
        default_far=0.01,
    )
    keep_calibration(models, name, calibration)
    command = f"python -m training.evaluate verification --data DATA --model {name}"
    model_cards.record(models, name, {"EER": "0.0123"}, command)
    return calibration, command


def thresholds_in(path: Path) -> tuple[Calibration, ...]:
    spec = OrtSession(path, Device("cpu")).spec
    assert isinstance(spec, ComparedSpec)
    return spec.thresholds


def test_thresholds_and_figures_stay_with_their_weights(runs: Path, copy: Path) -> None:
    for name in ("mine", "triples"):
        calibration, _ = with_figures(copy, name)
    moved = shutil.copytree(runs / "softmax", copy.parent / "moved")
    assert "removed" not in exported(copy, moved, "--name", "mine")
    assert thresholds_in(copy / "mine.onnx") == calibration.thresholds
    assert set(read_calibration(copy)) == set(model_cards.recorded(copy)) == {"mine", "triples"}


def test_other_weights_do_not_get_the_thresholds_and_figures_of_earlier_ones(runs: Path, copy: Path) -> None:
    for name in ("mine", "triples"):
        _, command = with_figures(copy, name)
    command = command.replace("triples", "mine")
    output = exported(copy, runs / "centerloss", "--name", "mine")
    assert thresholds_in(copy / "mine.onnx") == ()
    assert set(read_calibration(copy)) == set(model_cards.recorded(copy)) == {"triples"}
    assert "0.0123" not in (copy / "README.md").read_text().partition("## mine")[2].partition("\n## ")[0]
    assert (
        f"{copy / 'calibration.json'}: the thresholds of mine are removed, because other weights have them. "
        "For new ones, give --calibrate, or export again after `python -m training.evaluate calibrate "
        f"--data DATA --model mine --models models:{copy}`.\n"
        f"{copy / 'metrics.json'}: the figures of mine are removed, because other weights have them. "
        f"For new ones: `{command} --record`.\n"
    ) in output


def test_what_has_no_recorded_weights_is_not_kept(runs: Path, copy: Path) -> None:
    """An entry of an earlier version, and a calibration without a model."""
    models = entries(copy)
    for entry in models:
        entry.pop("weights")
    (copy / MANIFEST).write_text(json.dumps({"models": models}))
    for name in ("mine", "new"):
        with_figures(copy, name)
        output = exported(copy, runs / "softmax", "--name", name)
        assert f"the thresholds of {name} are removed, because it is not recorded which weights" in output
        assert thresholds_in(copy / f"{name}.onnx") == ()
    assert not read_calibration(copy)
    assert not model_cards.recorded(copy)


def test_a_name_of_a_model_for_another_task_is_refused(runs: Path, copy: Path) -> None:
    before = contents(copy)
    result = command(*(runs / name for name in CASCADE), "--name", "mine", "--models", copy)
    assert (result.exit_code, result.output) == (
        1,
        f"{copy} already has a model mine for embed, with this name or such a file. Give another --name.\n",
    )
    assert contents(copy) == before


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


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "softmax",
            ("--name", "sface"),
            "sface is a name that the shipped model sface uses. Give another --name.",
        ),
        ("softmax", ("--name", "../x"), "'../x' cannot be the name of a model."),
        (
            "softmax",
            ("--name", "x", "--licence", "free"),
            "--licence 'free' is not an SPDX licence expression.",
        ),
        ("landmarks15", ("--name", "x", "--licence", "MIT"), "come from 300-W"),
        (
            "landmarks15",
            ("--name", "x", "--calibrate", "."),
            "--calibrate is for embedders, not for models for",
        ),
        ("softmax", ("--name", "x", "--calibrate", "nowhere"), "nowhere does not exist."),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    runs: Path, tmp_path: Path, name: str, options: tuple[str, ...], message: str
) -> None:
    models = tmp_path / "models"
    assert_refused(command(runs / name, *options, "--models", models), message, models)


def test_a_cascade_cannot_be_calibrated(runs: Path, tmp_path: Path) -> None:
    models, paths = tmp_path / "models", [runs / name for name in CASCADE]
    result = command(*paths, "--name", "x", "--models", models, "--calibrate", tmp_path)
    assert_refused(result, "--calibrate is for embedders, not for models for detect. Leave it out.", models)


def test_the_name_of_the_run_is_the_default_and_a_shipped_one_is_refused(runs: Path, tmp_path: Path) -> None:
    result = command(runs / "triplet", "--models", tmp_path / "models")
    assert_refused(result, "triplet is a name that the shipped model triplet uses.", tmp_path / "models")


def test_damaged_weights_and_those_of_another_net_are_one_line(runs: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    other = (runs / "cascade_pnet" / BEST_WEIGHTS).read_bytes()
    for i, (content, message) in enumerate(
        ((b"junk", "is damaged"), (other, "holds the weights of another net"))
    ):
        run = shutil.copytree(runs / "softmax", tmp_path / f"run{i}")
        (run / BEST_WEIGHTS).write_bytes(content)
        result = command(run, "--name", "x", "--models", models)
        assert_refused(result, f"{run / BEST_WEIGHTS} {message}", models)


def test_models_must_be_a_folder(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "models"
    file.write_text("mine")
    result = command(runs / "softmax", "--name", "x", "--models", file)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "is not a folder" in result.output
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_calibration(
    runs: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    models = tmp_path / "a" / "models"
    result = command(runs / "softmax", "--name", "x", "--models", models, "--calibrate", people)
    assert_refused(result, f"{tmp_path} cannot be written to. Give --models a folder that", models)


def test_a_failure_leaves_the_files_of_the_replaced_model(
    runs: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    drafts: list[Path] = []

    def fail(path: Path, target: Path) -> Path:
        drafts.append(path)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", fail)
    result = command(runs / "softmax", "--name", "mine", "--models", copy)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "No space is left on the device" in result.output
    assert copy in drafts[0].parents, "a move within a file system needs no space"
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
