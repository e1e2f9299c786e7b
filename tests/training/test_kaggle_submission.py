"""Submissions by nets and a detector whose outputs are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.pipeline.faces import NO_FACES, Faces
from app.pipeline.landmarks import Landmarker
from app.vision import align
from app.vision.spec import LandmarkSpec
from tests.fakes import COMMON, FakeSession
from tests.training.kaggle_files import pictures, write_asked, write_test
from tests.training.labelled_photos import FixedDetector
from training import kaggle_submission
from training.data.datasets import kaggle
from training.data.datasets.label_text import BadLabelFile
from training.data.prepare import cropped_faces
from training.evaluation.user_errors import UserError

UNIT = np.random.default_rng(0).uniform(0.2, 0.8, 30).astype(np.float32)


def landmarker(template: align.Template, unit: np.ndarray = UNIT) -> tuple[Landmarker, list[np.ndarray]]:
    """Return a net with a constant output, and the list of the crops that it has read."""
    crops: list[np.ndarray] = []

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        crops.extend(images)
        return {"points": np.tile(unit, (len(images), 1))}

    spec = LandmarkSpec(model="points", size=96, template=template, scheme="kaggle15", **COMMON)
    return Landmarker(FakeSession(spec, answer)), crops


@pytest.fixture
def test_set(tmp_path: Path) -> kaggle.KaggleImages:
    write_test(tmp_path, pictures(3), [4, 9, 2])
    return kaggle.read_images(tmp_path, "test")


def test_a_net_with_the_template_of_kaggle_reads_the_images_as_they_are(
    test_set: kaggle.KaggleImages,
) -> None:
    net, crops = landmarker("kaggle15")
    predictions = kaggle_submission.predict(test_set, net, FixedDetector(NO_FACES))
    assert predictions.undetected == ()
    for row, image in enumerate(crops):
        np.testing.assert_array_equal(image, test_set.rgb(row))
    np.testing.assert_allclose(predictions.points[1], UNIT.reshape(15, 2) * 96 - 0.5, atol=1e-3)


def test_other_nets_read_the_detected_face(test_set: kaggle.KaggleImages) -> None:
    five = align.template("kaggle15", 60) + np.float32(12)
    enlarged = ((five + cropped_faces.BORDER * 96 + 0.5) * cropped_faces.ENLARGEMENT - 0.5).astype(np.float32)
    face = Faces(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), enlarged[None])
    net, _ = landmarker("face")
    predictions = kaggle_submission.predict(test_set, net, FixedDetector(face))
    to_image = align.invert(align.umeyama(five[None], align.template("face", 96)))
    expected = align.apply(to_image, UNIT.reshape(1, 15, 2) * 96 - np.float32(0.5))[0]
    assert predictions.undetected == ()
    np.testing.assert_allclose(predictions.points[0], np.clip(expected, 0, 95), atol=1e-2)


def test_images_without_a_detection_are_listed(test_set: kaggle.KaggleImages) -> None:
    predictions = kaggle_submission.predict(test_set, landmarker("face")[0], FixedDetector(NO_FACES))
    assert predictions.undetected == (4, 9, 2)
    assert np.isfinite(predictions.points).all()


def test_points_stay_inside_the_image(test_set: kaggle.KaggleImages) -> None:
    net, _ = landmarker("kaggle15", np.tile(np.array([-0.2, 1.3], np.float32), 15))
    predictions = kaggle_submission.predict(test_set, net, FixedDetector(NO_FACES))
    expected = np.tile(np.array([0, 95], np.float32), (3, 15, 1))
    np.testing.assert_array_equal(predictions.points, expected)


def test_the_file_has_the_rows_of_the_lookup_table(test_set: kaggle.KaggleImages, tmp_path: Path) -> None:
    write_asked(tmp_path, [(1, 2, "right_eye_center_y"), (3, 9, "left_eye_center_x"), (2, 4, "nose_tip_x")])
    points = np.arange(90, dtype=np.float32).reshape(3, 15, 2)
    out = tmp_path / "new" / "submission.csv"
    kaggle_submission.write(out, test_set, points, kaggle.read_lookup_table(tmp_path))
    assert out.read_text() == "RowId,Location\n1,63.0000\n3,30.0000\n2,20.0000\n"


def test_a_failure_leaves_the_earlier_submission(test_set: kaggle.KaggleImages, tmp_path: Path) -> None:
    out = tmp_path / "new" / "submission.csv"
    whole = kaggle.LookupTable((1, 2), (4, 9), (0, 1))
    kaggle_submission.write(out, test_set, test_set.points, whole)
    before = out.read_text()
    with pytest.raises(ValueError, match="shorter"):
        kaggle_submission.write(out, test_set, test_set.points, replace(whole, coordinates=(0,)))
    assert [path.name for path in out.parent.iterdir()] == ["submission.csv"]
    assert out.read_text() == before


def test_an_image_that_the_test_set_lacks_is_an_error(test_set: kaggle.KaggleImages, tmp_path: Path) -> None:
    write_asked(tmp_path, [(1, 5, "nose_tip_x")])
    with pytest.raises(UserError, match=r"such as \[5\]"):
        kaggle_submission.write(
            tmp_path / "out.csv", test_set, test_set.points, kaggle.read_lookup_table(tmp_path)
        )


def test_the_files_are_checked_before_the_net_runs(tmp_path: Path) -> None:
    folder, out = tmp_path / "kaggle15", tmp_path / "out.csv"
    write_test(folder, pictures(1), [4])
    write_asked(folder, [(1, 4, "nose_tip_x"), (2, 5, "nose_tip_x")])
    with pytest.raises(UserError, match=r"such as \[5\] \(RowId 2\)"):
        kaggle_submission.main(data=tmp_path, out=out, model="cnn15")
    write_asked(folder, [(1, 4, "left_ear_x")])
    with pytest.raises(BadLabelFile, match=r"IdLookupTable\.csv, line 2"):
        kaggle_submission.main(data=tmp_path, out=out, model="cnn15")
    assert not out.exists()


def test_a_net_of_another_scheme_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cnn68 predicts points of the scheme ibug68"):
        kaggle_submission.main(data=tmp_path, out=tmp_path / "out.csv", model="cnn68")
    with pytest.raises(UserError, match="Give either --model or --run"):
        kaggle_submission.main(data=tmp_path, out=tmp_path / "out.csv")
