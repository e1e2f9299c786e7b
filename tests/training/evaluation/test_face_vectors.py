"""Largest faces, vectors and similarities, with a fake detector and a fake embedder."""

from pathlib import Path

import numpy as np
import pytest

from app.pipeline.embedder import FacePoints
from app.vision.pyramid import ImagePyramid
from tests.fakes import fake_analyzer
from tests.training.finished_runs import write_finished_run
from tests.training.people import write_people
from training.config.registry import RunError
from training.evaluation.face_vectors import (
    embedder_of,
    locate,
    represent,
    similarities,
)


def test_faces_are_located_and_images_without_a_face_are_named(tmp_path: Path) -> None:
    paths = [image.path for image in write_people(tmp_path)]
    located = locate(fake_analyzer(), paths)
    assert located.people.tolist() == [*"aaabbbccc"]
    assert located.undetected == ["c2.png"]
    assert np.isfinite(located.points[:-1]).all()


def test_vectors_and_similarities_of_undetected_faces_are_nan(tmp_path: Path) -> None:
    analyzer = fake_analyzer()
    embedder = analyzer.embedder("vectors")
    paths = [image.path for image in write_people(tmp_path)]
    vectors = represent(analyzer, embedder, locate(analyzer, paths))
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, rtol=1e-3)
    assert np.isnan(vectors[-1]).all()
    values = similarities(embedder, vectors, np.roll(vectors, 1, axis=0))
    assert np.isnan(values).tolist() == [True, *[False] * 7, True]


def test_a_folder_without_a_run_and_a_run_of_another_kind_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        embedder_of(tmp_path)
    with pytest.raises(RunError, match="LandmarkConfig"):
        embedder_of(Path("training/records/cnn68"))


@pytest.mark.parametrize("name", ["softmax", "siamese"])
def test_the_embedder_of_a_run_is_the_one_that_would_be_served(name: str, tmp_path: Path) -> None:
    write_finished_run(tmp_path / name, name, ["made"])
    embedder = embedder_of(tmp_path / name)
    assert (embedder.spec.model, embedder.spec.research_only) == (name, name == "siamese")
    assert embedder.spec.metric == ("probability" if name == "siamese" else "cosine")
    rng = np.random.default_rng(0)
    photo = ImagePyramid(rng.integers(0, 256, (90, 90, 3), np.uint8))
    five = np.array([[[30, 35], [60, 35], [45, 50], [33, 65], [57, 65]]], np.float32)
    both = np.concatenate([five, five + 6])
    points = FacePoints(both, both)
    assert np.linalg.norm(embedder(photo, points), axis=1) == pytest.approx(1, abs=1e-5)
    kept = embedder.represent(photo, points)
    assert embedder.compare(kept[:1], kept[:1])[0] > embedder.compare(kept[:1], kept[1:])[0]
