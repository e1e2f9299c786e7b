"""Faces with a teacher's vectors: which photos are read, and what their records hold."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from training.data.prepare import teacher_vectors
from training.data.storage import identity_crops
from training.prepare import app

PHOTO = "tests/photos/obama.jpg"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with two photos each, a photo of WIDER FACE, and portraits of MTFL, one of them LFW's."""
    folder = tmp_path_factory.mktemp("data")
    photo = cv2.imread(PHOTO)
    assert photo is not None
    small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    files = [
        *(f"identities/set/{person}/{i}.png" for person in "abcd" for i in (1, 2)),
        "wider/WIDER_train/images/0--x/1.png",
        "mtfl5/net_7876/1.png",
        "mtfl5/lfw_5590/1.png",
    ]
    for i, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        changed = (small[:, :: 1 - 2 * (i % 2)] if i < 8 else small).copy()
        changed[:4, :4] = 20 * i  # no two are copies
        cv2.imwrite(str(folder / name), changed)
    points = "10 20 15 11 19 10 10 15 20 20"
    (folder / "mtfl5" / "training.txt").write_text(
        f"net_7876/1.png {points}\nlfw_5590\\1.png {points}\n"  # the original list has backslashes
    )
    (folder / "wider" / "wider_face_split").mkdir()
    (folder / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text(
        "0--x/1.png\n1\n10 10 50 60 0 0 0 0 0 0\n"
    )
    return folder


def command(*arguments: str | Path) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def taught(data: Path) -> Path:
    """The folder that `training.prepare distillation` writes."""
    people, out = data / "people", data / "taught"
    source = f"folders:{data / 'identities' / 'set'}"
    command("identities", "--source", source, "--out", people, "--validation", "2", "--span", "96")
    command("distillation", "--data", data, "--beside", people, "--out", out)
    return out


def test_known_and_unknown_faces_have_vectors_and_lfw_is_left_out(taught: Path) -> None:
    faces = identity_crops.load(taught / "train.tfrecord")
    assert sorted(address.split("/")[0] for address in faces.addresses) == ["mtfl5", *4 * ["set"], "wider"]
    assert not any(teacher_vectors.LFW_PART in address for address in faces.addresses)
    assert sorted(faces.labels.tolist()) == [teacher_vectors.UNNAMED, teacher_vectors.UNNAMED, 0, 0, 1, 1]
    assert faces.vectors is not None
    np.testing.assert_allclose(np.linalg.norm(faces.vectors, axis=1), 1, atol=1e-3)
    assert (faces.vectors @ faces.vectors.T > 0.8).all(), "all show one photo, at most mirrored"


def test_all_faces_have_the_shape_of_the_set_beside(taught: Path) -> None:
    report = json.loads((taught / "prepare.json").read_text())
    assert report["crop"] == json.loads((taught.parent / "people" / "prepare.json").read_text())["crop"]
    for split in ("train", "validation"):
        faces = identity_crops.load(taught / f"{split}.tfrecord")
        assert (faces.span, faces.images.shape[1]) == (96, 115)


def test_the_report_names_the_sets_the_people_and_the_nets(taught: Path) -> None:
    report = json.loads((taught / "prepare.json").read_text())
    people = json.loads((taught.parent / "people" / "prepare.json").read_text())
    assert report["sources"] == ["folders:set", "mtfl5", "wider"]
    assert report["train"]["by_set"] == {"identities": 4, "mtfl5": 1, "wider": 1}
    assert report["train"]["names"] == people["train"]["names"]
    assert report["validation"] == people["validation"]
    assert report["beside"] == people["sha256"] != report["sha256"]
    assert set(report["teacher"]) == {"sface.onnx"}
    assert len(identity_crops.load(taught / "validation.tfrecord")) == 4
