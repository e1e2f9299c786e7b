"""`python -m training.mine_candidates`: the file that it writes, and its errors."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tests.training.finished_runs import write_finished_run, write_run_file
from tests.training.landmark_sets import synthetic_faces
from training import mine_candidates
from training.config.registry import BEST_WEIGHTS, find
from training.data.storage import candidates, landmark_crops
from training.engine import checkpoints


def command(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(mine_candidates.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One photo of WIDER FACE's training part, and one portrait of MTFL's."""
    root = tmp_path_factory.mktemp("data")
    photo = cv2.imread("tests/photos/obama.jpg")
    assert photo is not None
    small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    for folder in ("wider/WIDER_train/images", "wider/wider_face_split", "mtfl5"):
        (root / folder).mkdir(parents=True)
    cv2.imwrite(str(root / "wider/WIDER_train/images/a.png"), small)
    cv2.imwrite(str(root / "mtfl5/p.png"), small)
    labels = "a.png\n1\n10 10 20 30 0 0 0 0 0 0\n"
    (root / "wider/wider_face_split/wider_face_train_bbx_gt.txt").write_text(labels)
    points = "132 164 148 130 165 63 63 83 95 95"
    (root / "mtfl5/training.txt").write_text(f"p.png {points}\n")
    return root


def test_candidates_for_rnet_are_pnets_proposals(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "rnet.npz"
    result = command("--data", data, "--out", out)
    assert result.exit_code == 0, result.output
    mined, portraits = candidates.load(out)
    assert result.output.splitlines()[-1] == f"{len(mined)} candidates, 0 portraits"
    assert 0 < len(mined) <= 400
    assert portraits.shape == (0, 4)
    assert (mined.photo == 0).all()


def test_behind_a_run_of_rnet_portraits_get_boxes(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "cascade_rnet_scratch"
    net = write_finished_run(run, run.name, ["wider"])
    heads = net.get_layer("heads")
    heads.set_weights([np.zeros_like(weight) for weight in heads.get_weights()])  # P-Net's boxes are kept
    checkpoints.save_weights(run / BEST_WEIGHTS, net)
    out = tmp_path / "onet.npz"
    result = command("--data", data, "--out", out, "--run", run)
    assert result.exit_code == 0, result.output
    mined, portraits = candidates.load(out)
    assert result.output.splitlines()[-1] == f"{len(mined)} candidates, 1 portraits"
    (box,) = portraits
    assert (box[:2] < [130, 63]).all()
    assert (box[2:] > [165, 95]).all()


def test_faces_with_68_points_get_boxes_after_the_portraits_of_mtfl(data: Path, tmp_path: Path) -> None:
    photo = cv2.imread(str(data / "mtfl5/p.png"), cv2.IMREAD_COLOR_RGB)
    assert photo is not None
    left = 40
    face = photo[None, :180, left : left + 180]
    middle = np.array([148 - left, 83])
    points = (middle + np.random.default_rng(0).uniform(-9, 9, (1, 68, 2))).astype(np.float32)
    faces = replace(synthetic_faces(1, 0), images=face, points=points)
    landmark_crops.save(tmp_path / "train.tfrecord", faces)
    out = tmp_path / "onet.npz"
    result = command("--data", data, "--out", out, "--portraits", "--faces", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith(" candidates, 2 portraits")
    of_mtfl, of_68 = candidates.load(out)[1]
    np.testing.assert_allclose(of_mtfl - [left, 0, left, 0], of_68, atol=8)


def assert_refused(result: Result, message: str) -> None:
    assert (result.exit_code, result.output.count("\n")) == (1, 1), result.output
    assert message in result.output


def test_unusable_options_are_one_line(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.npz"
    landmarks = write_run_file(tmp_path / "landmarks", find("cnn68").CONFIG, ["300w"])
    damaged = tmp_path / "damaged"
    (damaged / "wider" / "wider_face_split").mkdir(parents=True)
    (damaged / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("a.jpg\nmany\n")
    for options, message in (
        (("--data", tmp_path), "wider_face_train_bbx_gt.txt does not exist."),
        (("--data", data, "--model", "none"), "No model for detect is named 'none'. Choose one of: cascade"),
        (("--data", data, "--run", tmp_path / "none"), "run.json does not exist."),
        (("--data", data, "--run", landmarks), "of kind LandmarkConfig, not StageConfig"),
        (("--data", data, "--models", tmp_path), "manifest.json cannot be read"),
        (("--data", data, "--faces", tmp_path), "--faces needs --portraits, --refined or a run of R-Net"),
        (("--data", tmp_path, "--portraits"), "training.txt does not exist."),
        (("--data", damaged), "wider_face_train_bbx_gt.txt, line "),
    ):
        assert_refused(command("--out", out, *options), message)
    assert not out.exists()
