"""Submissions by nets and a detector whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from app.pipeline.faces import NO_FACES, Faces
from app.pipeline.landmarks import Landmarker
from app.vision import align
from app.vision.spec import LandmarkSpec
from tests.fakes import COMMON, FakeSession
from tests.training.kaggle_files import pictures, write_asked, write_test
from tests.training.test_prepare import Finds
from training import portraits, submit
from training.data import kaggle

UNIT = np.random.default_rng(0).uniform(0.2, 0.8, 30).astype(np.float32)


def landmarker(template: align.Template, unit: np.ndarray = UNIT) -> tuple[Landmarker, list[np.ndarray]]:
    """A landmarker that always answers the same, and what it saw."""
    seen: list[np.ndarray] = []

    def answer(images: np.ndarray) -> dict[str, np.ndarray]:
        seen.extend(images)
        return {"points": np.tile(unit, (len(images), 1))}

    spec = LandmarkSpec(model="points", size=96, template=template, scheme="kaggle15", **COMMON)
    return Landmarker(FakeSession(spec, answer)), seen


@pytest.fixture
def test_set(tmp_path: Path) -> kaggle.Pictures:
    write_test(tmp_path, pictures(3), [4, 9, 2])
    return kaggle.read_pictures(tmp_path, "test")


def test_a_net_of_kaggles_pictures_sees_them_as_they_are(test_set: kaggle.Pictures) -> None:
    net, seen = landmarker("kaggle15")
    answered = submit.answer(test_set, net, Finds(NO_FACES))
    assert answered.undetected == ()
    for row, image in enumerate(seen):
        np.testing.assert_array_equal(image, test_set.rgb(row))
    np.testing.assert_allclose(answered.points[1], UNIT.reshape(15, 2) * 96 - 0.5, atol=1e-3)


def test_other_nets_get_the_face_that_the_detector_finds(test_set: kaggle.Pictures) -> None:
    five = align.template("kaggle15", 60) + np.float32(12)
    wide = ((five + portraits.BORDER * 96 + 0.5) * portraits.ENLARGED - 0.5).astype(np.float32)
    found = Faces(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), wide[None])
    net, _ = landmarker("face")
    answered = submit.answer(test_set, net, Finds(found))
    back = align.invert(align.umeyama(five[None], align.template("face", 96)))
    expected = align.apply(back, UNIT.reshape(1, 15, 2) * 96 - np.float32(0.5))[0]
    assert answered.undetected == ()
    np.testing.assert_allclose(answered.points[0], np.clip(expected, 0, 95), atol=1e-2)


def test_pictures_without_a_detection_are_named(test_set: kaggle.Pictures) -> None:
    answered = submit.answer(test_set, landmarker("face")[0], Finds(NO_FACES))
    assert answered.undetected == (4, 9, 2)
    assert np.isfinite(answered.points).all()


def test_points_stay_inside_the_picture(test_set: kaggle.Pictures) -> None:
    net, _ = landmarker("kaggle15", np.tile(np.array([-0.2, 1.3], np.float32), 15))
    answered = submit.answer(test_set, net, Finds(NO_FACES))
    np.testing.assert_array_equal(answered.points, np.tile(np.array([0, 95], np.float32), (3, 15, 1)))


def test_the_file_has_what_is_asked_in_its_order(test_set: kaggle.Pictures, tmp_path: Path) -> None:
    write_asked(tmp_path, [(1, 2, "right_eye_center_y"), (3, 9, "left_eye_center_x"), (2, 4, "nose_tip_x")])
    points = np.arange(90, dtype=np.float32).reshape(3, 15, 2)
    out = tmp_path / "new" / "submission.csv"
    submit.write(out, test_set, points, kaggle.read_asked(tmp_path))
    assert out.read_text() == "RowId,Location\n1,63.0000\n3,30.0000\n2,20.0000\n"


def test_a_picture_that_is_not_there_is_an_error(test_set: kaggle.Pictures, tmp_path: Path) -> None:
    write_asked(tmp_path, [(1, 5, "nose_tip_x")])
    with pytest.raises(ValueError, match=r"\[5\]"):
        submit.write(tmp_path / "out.csv", test_set, test_set.points, kaggle.read_asked(tmp_path))
