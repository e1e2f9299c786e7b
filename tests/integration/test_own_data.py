"""The shortest path of each section of the training guide: from made data to an answer of the service.

The photos of `tests/photos`, tinted, stand for the users' photos. The nets are trained for a few steps, so
their answers are wrong; the tests show that they are served.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import typer
from numpy import ndarray
from typer.testing import CliRunner

from app.main import create_app
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.runtime.timing import Timing
from app.settings import Settings
from app.vision.pyramid import ImagePyramid
from app.wiring import load_analyzer
from tests.servers import client_of, serving
from tests.training.kaggle_files import write_asked, write_test, write_training
from training import export, kaggle_submission, mine_candidates, prepare, train
from training.data.datasets import kaggle

pytestmark = pytest.mark.integration

PHOTOS = [Path("tests/photos") / name for name in ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png")]
QUICK = ("--set", "epochs=1", "--set", "warmup_epochs=0", "--set", "validate_every=1")


def run(command: Callable[..., object] | typer.Typer, *arguments: str | Path) -> str:
    """Run a command of the training package as from a shell; return what it printed."""
    app = command
    if not isinstance(app, typer.Typer):
        app = typer.Typer()
        app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def tinted(photo: Path, tint: int, shade: int = 0) -> ndarray:
    """Return a small copy of a photo in one of many tints and blotches, BGR."""
    image = cv2.imread(str(photo))
    assert image is not None
    scale, rng = 300 / image.shape[0], np.random.default_rng(tint)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    blotches = cv2.resize(rng.uniform(-60, 60, (9, 9, 3)), small.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(small * rng.uniform(0.7, 1.1, 3) + blotches + 6 * shade, 0, 255).astype(np.uint8)


def write_people(folder: Path, first: int, count: int, images: int) -> Path:
    """Write a folder of images for each person: a photo in a tint of its own; return the folder."""
    for person in range(first, first + count):
        (folder / f"person{person}").mkdir(parents=True)
        for i in range(images):
            image = tinted(PHOTOS[person % len(PHOTOS)], person, i)
            cv2.imwrite(str(folder / f"person{person}" / f"{i}.jpg"), image)
    return folder


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return load_analyzer(Settings(device="cpu"))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> Path:
    """A folder with `.pts` files beside photos, and with the boxes of the photos in WIDER FACE's format."""
    folder = tmp_path_factory.mktemp("annotated")
    images, rows = folder / "wider" / "WIDER_train" / "images" / "mine", []
    images.mkdir(parents=True)
    (folder / "points" / "test").mkdir(parents=True)
    for i in range(24):
        image = tinted(PHOTOS[i % len(PHOTOS)], i)
        picture = ImagePyramid(np.ascontiguousarray(image[:, :, ::-1]))
        faces = analyzer.detector(None).detect(picture, DetectOptions(max_faces=1), Timing())
        found = analyzer.landmarks(picture, faces, analyzer.landmarker("mesh68"), Timing()).landmarks
        assert found is not None
        place = folder / "points" / ("test" if i < 4 else "") / f"{i}.jpg"
        cv2.imwrite(str(place), image)
        points = "\n".join(f"{x:.3f} {y:.3f}" for x, y in found[0][:, :2])
        place.with_suffix(".pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
        cv2.imwrite(str(images / f"{i}.jpg"), image)
        x1, y1, x2, y2 = faces.boxes[0]
        rows.append(f"mine/{i}.jpg\n1\n{x1:.1f} {y1:.1f} {x2 - x1:.1f} {y2 - y1:.1f} 0 0 0 0 0 0\n")
    labels = folder / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.parent.mkdir()
    labels.write_text("".join(rows))
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[], httpx.Client]]:
    """Return a function that serves the shipped models and those of the folder `mine`."""
    stack: list[Any] = []

    def start() -> httpx.Client:
        folders = (Path("models"), tmp_path / "mine")
        server = serving(create_app(Settings(device="cpu", models_dir=folders)))
        client = client_of(server.__enter__())
        stack.extend([server, client])
        return client.__enter__()

    yield start
    for context in reversed(stack):
        context.__exit__(None, None, None)


def test_kaggles_files_to_a_submission_and_points(tmp_path: Path, served: Callable[[], httpx.Client]) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 96, 96), np.uint8)
    faces = rng.uniform(20, 76, (40, 15, 2)).astype(np.float32)
    data, folder = tmp_path / "data", tmp_path / "data" / "kaggle15"
    write_training(folder, pictures, faces, packed=True)
    write_test(folder, pictures[:3], [1, 2, 3], packed=True)
    write_asked(folder, [(1, 1, kaggle.COORDINATES[0]), (2, 3, kaggle.COORDINATES[29])])
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    form = ("--source", "kaggle15", "--crop", "picture", "--complete")
    run(prepare.app, "landmarks", "--data", data, *form, "--out", cache)
    run(train.main, "cnn15", "--data", cache, "--name", "mine15", "--out", runs, *QUICK, "--set", "batch=8")
    run(kaggle_submission.main, "--data", data, "--run", runs / "mine15", "--out", tmp_path / "s.csv")
    with (tmp_path / "s.csv").open() as file:
        assert [row["RowId"] for row in csv.DictReader(file)] == ["1", "2"]
    run(export.main, runs / "mine15", "--models", tmp_path / "mine")
    answer = served().post("/landmarks?model=mine15", files={"image": PHOTOS[0].read_bytes()}).json()
    assert (answer["model"], len(answer["faces"][0]["landmarks"])) == ("mine15", 15)


def test_people_to_a_calibrated_embedder(tmp_path: Path, served: Callable[[], httpx.Client]) -> None:
    people = write_people(tmp_path / "staff", 0, 12, 4)
    strangers = write_people(tmp_path / "strangers", 100, 20, 2)
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    run(prepare.app, "identities", "--source", f"folders:{people}", "--out", cache)
    run(train.main, "softmax", "--data", cache, "--out", runs, *QUICK, "--set", "batch=8")
    batch = ("--set", "people_per_batch=4", "--set", "images_per_person=2", "--set", "batch=8")
    own = ("--name", "staff", "--set", "start_from=softmax")
    run(train.main, "triplet_scratch", "--data", cache, "--out", runs, *own, *QUICK, *batch)
    run(
        export.main,
        runs / "staff",
        "--models",
        tmp_path / "mine",
        "--licence",
        "MIT",
        "--calibrate",
        strangers,
    )
    run(export.main, runs / "softmax", "--models", tmp_path / "mine", "--name", "plain")
    client = served()
    files = {"image_a": PHOTOS[0].read_bytes(), "image_b": PHOTOS[1].read_bytes()}
    answer = client.post("/verify?model=staff", files=files).json()
    assert answer["model"] == "staff"
    assert answer["verified"] == (answer["similarity"] >= answer["threshold"])
    assert client.post("/verify?model=plain", files=files).status_code == 422, "it has no threshold"
    listed = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert (listed["staff"]["licence"], listed["plain"]["licence"]) == ("MIT", "LicenseRef-unspecified")


def test_points_to_a_landmark_net(
    annotated: Path, tmp_path: Path, served: Callable[[], httpx.Client]
) -> None:
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    run(prepare.app, "landmarks", "--data", annotated / "points", "--source", "pts", "--out", cache)
    small = ("--set", "batch=4")
    run(train.main, "cnn68", "--data", cache, "--name", "mine68", "--out", runs, *QUICK, *small)
    run(export.main, runs / "mine68", "--models", tmp_path / "mine", "--licence", "CC-BY-4.0")
    answer = served().post("/landmarks?model=mine68", files={"image": PHOTOS[0].read_bytes()}).json()
    assert (answer["model"], len(answer["faces"][0]["landmarks"])) == ("mine68", 68)


def test_boxes_to_a_detector(annotated: Path, tmp_path: Path, served: Callable[[], httpx.Client]) -> None:
    runs, faces = tmp_path / "runs", tmp_path / "faces"
    run(prepare.app, "landmarks", "--data", annotated / "points", "--source", "pts", "--out", faces)
    quick = (*QUICK, "--set", "steps=2", "--set", "batch=8", "--set", "validation_share=0.3", "--out", runs)
    run(train.main, "mtcnn_here_pnet", "--data", annotated, *quick)
    mined = ("--data", annotated, "--run", runs / "mtcnn_here_pnet")
    run(mine_candidates.main, *mined, "--out", tmp_path / "r.npz")
    run(train.main, "mtcnn_here_rnet", "--data", annotated, "--candidates", tmp_path / "r.npz", *quick)
    more = ("--run", runs / "mtcnn_here_rnet", "--faces", faces)
    run(mine_candidates.main, *mined, *more, "--out", tmp_path / "o.npz")
    with_faces = ("--candidates", tmp_path / "o.npz", "--faces", faces)
    run(train.main, "mtcnn_here_onet", "--data", annotated, *with_faces, *quick)
    stages = [runs / f"mtcnn_here_{stage}" for stage in ("pnet", "rnet", "onet")]
    run(export.main, *stages, "--name", "boxes", "--models", tmp_path / "mine", "--licence", "CC0-1.0")
    answer = served().post("/detect?model=boxes", files={"image": PHOTOS[0].read_bytes()})
    assert answer.status_code == 200
    assert answer.json()["model"] == "boxes"
