"""Landmark crops: their alignment, the photo beyond its edges, and photos that several splits have."""

import numpy as np
from numpy import ndarray

from app.pipeline.faces import NO_FACES, Faces
from app.vision import align
from app.vision.pyramid import ImagePyramid
from tests.fakes import FIVE_IN_BOX
from tests.training.labelled_photos import (
    SHAPE,
    FixedDetector,
    crops_of_textures,
    detected,
    five_of,
    labelled_photo,
    portrait,
    texture,
)
from training.data.batches.landmarks import served_crops
from training.data.datasets import kaggle
from training.data.datasets.landmark_sets import Split
from training.data.prepare import cropped_faces
from training.data.prepare.landmark_crops import (
    SHAPES,
    crop,
    labelled_five,
    remove_shared_photos,
    share_inside,
    stack,
    warp_mirrored,
)
from training.data.storage.landmark_crops import LandmarkCrops


def aligned(five: ndarray) -> ndarray:
    """Return the matrix from five points to the template in the centre of a crop."""
    return align.umeyama(five, align.template("face", 40) + np.float32(10))


def test_a_detected_face_is_aligned_by_the_detectors_points() -> None:
    photo = labelled_photo()
    face = crop(photo, FixedDetector(detected(photo, offset=2)), SHAPE)
    assert face.detected
    expected = aligned(five_of(photo) + 2)
    np.testing.assert_allclose(face.transform, expected[0], atol=1e-4)
    np.testing.assert_allclose(face.points, align.apply(expected, photo.points[None])[0], atol=1e-3)


def test_an_undetected_face_is_aligned_by_its_labels() -> None:
    photo = labelled_photo()
    face = crop(photo, FixedDetector(NO_FACES), SHAPE)
    assert not face.detected
    np.testing.assert_allclose(face.transform, aligned(five_of(photo))[0])


def test_a_net_gets_the_image_that_is_served() -> None:
    photo = labelled_photo()
    faces = stack([crop(photo, FixedDetector(detected(photo)), SHAPE)], SHAPE)
    images, unit = served_crops(faces, SHAPE.span)
    transform = align.umeyama(five_of(photo), align.template("face", SHAPE.span))
    served = align.warp(ImagePyramid(texture(0)), transform, SHAPE.span)
    assert np.abs(images.astype(int) - served.astype(int)).mean() < 1.5
    expected = align.apply(transform, photo.points[None])
    np.testing.assert_allclose((unit.reshape(1, 68, 2) * SHAPE.span) - 0.5, expected, atol=1e-3)


def test_the_photo_is_mirrored_beyond_its_edges() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    transform = np.array([[[1, 0, 40], [0, 1, 40]]], np.float32)
    assert (warp_mirrored(image, transform, 100) >= 89).all()
    assert (align.warp(ImagePyramid(image), transform, 100) == 0).mean() > 0.9


def test_a_photo_of_a_later_split_is_removed() -> None:
    faces: dict[Split, LandmarkCrops] = {
        "train": crops_of_textures({1: 1, 2: 1, 3: 1, 4: 1}, "a"),
        "validation": crops_of_textures({2: 0.7, 5: 1}, "b"),
        "test": crops_of_textures({3: 0.8, 5: 0.6, 6: 1}, "c"),
    }
    removed = remove_shared_photos(faces)
    assert removed == {"train": ["a/2", "a/3"], "validation": ["b/5"], "test": []}
    assert faces["train"].names == ("a/1", "a/4")
    assert faces["validation"].names == ("b/2",)


PICTURE = SHAPES["picture"]


def test_a_portrait_can_be_taken_whole() -> None:
    photos = [portrait(seed) for seed in range(3)]
    photos[1].points[[11, 12]] = np.nan
    faces = stack([crop(photo, FixedDetector(NO_FACES), PICTURE) for photo in photos], PICTURE)
    images, unit = served_crops(faces, 96)
    for image, photo in zip(images, photos, strict=True):
        np.testing.assert_array_equal(image, photo.image)
    labels = np.stack([photo.points for photo in photos])
    np.testing.assert_allclose(unit.reshape(3, 15, 2) * 96 - 0.5, labels, atol=1e-3)
    assert not faces.detected.any()


def test_a_portrait_is_aligned_by_the_face_detected_in_it() -> None:
    photo = portrait()
    wide = (cropped_faces.BORDER * 96 + photo.points + 0.5) * cropped_faces.ENLARGEMENT - 0.5
    five = wide[None, kaggle.FIVE].astype(np.float32)
    box = np.concatenate([five[0].min(axis=0), five[0].max(axis=0)])[None]
    face = crop(photo, FixedDetector(Faces(box, np.ones(1, np.float32), five)), SHAPE)
    assert face.detected
    np.testing.assert_allclose(face.transform, aligned(photo.points[None, kaggle.FIVE])[0], atol=1e-4)


def test_a_portrait_without_a_detected_face_is_aligned_by_the_expected_box() -> None:
    face = crop(portrait(), FixedDetector(NO_FACES), SHAPE)
    assert not face.detected
    box = cropped_faces.EXPECTED_BOX * 96
    expected = box[:, None, :2] + FIVE_IN_BOX * (box[:, None, 2:] - box[:, None, :2]) - 0.5
    np.testing.assert_allclose(face.transform, aligned(expected.astype(np.float32))[0], atol=1e-3)


def test_points_without_a_label_are_placed_by_the_others() -> None:
    photo = portrait(2)
    complete = labelled_five(photo)
    photo.points[[11, 12]] = np.nan
    np.testing.assert_allclose(labelled_five(photo), complete, atol=1e-3)


def test_a_face_counts_as_inside_with_all_its_labels() -> None:
    faces = crops_of_textures({1: 1, 2: 1, 3: 1, 4: 1}, "a")
    faces.points[:] = 30
    faces.points[0, 5] = np.nan
    assert share_inside(faces) == 1
    faces.points[1, 7] = 9.5
    assert share_inside(faces) == 0.75
