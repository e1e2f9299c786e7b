"""The pictures of training faces: they are drawn, and sets that do not suit the run are refused."""

import json
from pathlib import Path

import pytest
from PIL import Image as Pil

from tests.training.landmark_sets import synthetic_faces, write_prepared
from training.config.registry import RunError
from training.data.storage.data_hash import hash_tfrecords
from training.studies.landmark_samples import main


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Four aligned faces with 68 points."""
    folder = tmp_path / "set"
    folder.mkdir()
    write_prepared(folder, synthetic_faces(4, 0), synthetic_faces(4, 1))
    report = {"crop": {"template": "face", "span": 40}, "sha256": hash_tfrecords(folder)}
    (folder / "prepare.json").write_text(json.dumps(report))
    return folder


def test_the_faces_are_drawn(prepared: Path, tmp_path: Path) -> None:
    main("cnn68", prepared, tmp_path / "faces.png", 4)
    with Pil.open(tmp_path / "faces.png") as picture:
        assert picture.width > 200


def test_other_points_than_those_of_the_run_are_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds faces with 68 points, and cnn15 needs 15"):
        main("cnn15", prepared, tmp_path / "faces.png", 4)
    assert not (tmp_path / "faces.png").exists()
