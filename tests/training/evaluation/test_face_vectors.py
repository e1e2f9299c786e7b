"""Largest faces, vectors and similarities, with a fake detector and a fake embedder."""

from pathlib import Path

import numpy as np
import pytest

from app.vision.pyramid import ImagePyramid
from tests.fakes import fake_analyzer
from tests.training.finished_runs import write_finished_run
from tests.training.people import write_people
from training.config.registry import RunError
from training.evaluation.face_vectors import (
    all_similarities,
    embedder_of,
    locate,
    represent,
    similarities,
)


def test_faces_are_located_and_images_without_a_face_are_named(tmp_path: Path) -> None:
    paths = [image.path for image in write_people(tmp_path)]
    faces = locate(fake_analyzer(), paths)
    assert faces.people.tolist() == [*"aaabbbccc"]
    assert faces.undetected == ["c2.png"]
    assert np.isfinite(faces.points[:-1]).all()


def test_vectors_and_similarities_of_undetected_faces_are_nan(tmp_path: Path) -> None:
    analyzer = fake_analyzer()
    embedder = analyzer.embedder("vectors")
    paths = [image.path for image in write_people(tmp_path)]
    vectors = represent(embedder, locate(analyzer, paths))
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, rtol=1e-3)
    assert np.isnan(vectors[-1]).all()
    values = similarities(embedder, vectors, np.roll(vectors, 1, axis=0))
    assert np.isnan(values).tolist() == [True, *[False] * 7, True]


def test_all_pairs_are_split_into_genuine_and_impostor_pairs(tmp_path: Path) -> None:
    analyzer = fake_analyzer()
    faces = locate(analyzer, [image.path for image in write_people(tmp_path)])
    embedder = analyzer.embedder("vectors")
    genuine, impostors = all_similarities(embedder, represent(embedder, faces), faces.people)
    assert (len(genuine), len(impostors)) == (3 + 3 + 1, 3 * 3 + 2 * (3 + 3))
    assert genuine.min() > impostors.max()


def test_a_folder_without_a_run_and_a_run_of_another_kind_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        embedder_of(tmp_path)
    with pytest.raises(RunError, match="LandmarkConfig"):
        embedder_of(Path("training/records/cnn68"))


@pytest.mark.parametrize("name", ["softmax", "siamese"])
def test_the_embedder_of_a_run_is_the_one_that_would_be_served(name: str, tmp_path: Path) -> None:
    write_finished_run(tmp_path / name, name, ["made"])
    embedder = embedder_of(tmp_path / name)
    assert (embedder.spec.model, embedder.spec.research_only) == (name, True)
    assert embedder.spec.metric == ("probability" if name == "siamese" else "cosine")
    rng = np.random.default_rng(0)
    photo = ImagePyramid(rng.integers(0, 256, (90, 90, 3), np.uint8))
    points = np.array([[[30, 35], [60, 35], [45, 50], [33, 65], [57, 65]]], np.float32)
    points = np.concatenate([points, points + 6])
    assert np.linalg.norm(embedder(photo, points), axis=1) == pytest.approx(1, abs=1e-5)
    kept = embedder.represent(photo, points)
    assert embedder.compare(kept[:1], kept[:1])[0] > embedder.compare(kept[:1], kept[1:])[0]
