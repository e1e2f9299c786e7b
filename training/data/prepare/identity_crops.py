"""Aligned crops of known people for embedding nets, as TFRecord files.

The crops are aligned as in the service. A record holds `image` (PNG), `label` (from 0 in each file),
`height`, `width` and `address` (the photo's path under its folder). A photo without a detected face is left
out and listed.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from tqdm import tqdm

from app.errors import BadImage
from app.pipeline.detector import DetectOptions, Detector
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data.datasets import identities
from training.data.datasets.identities import IdentityImage
from training.data.datasets.images import read_image
from training.data.prepare.landmark_crops import DETECTOR, CropShape, Report
from training.data.storage import tfrecord
from training.data.storage.crops import encode_png
from training.data.storage.data_hash import hash_tfrecords

logger = logging.getLogger(__name__)

SPAN = 80
"""Default side in pixels of the square that a net gets."""


def shape(span: int = SPAN) -> CropShape:
    """Return the shape of the crops: a net gets 80 of 96 pixels.

    The margin is for shift, rotation and scale of the augmentation.

    Args:
        span: side in pixels of the square that a net gets.
    """
    return CropShape("arcface", span=span, margin=1.2)


@dataclass
class Counts:
    """Cropped photos by person, and the addresses of photos without a detected face."""

    photos: Counter[str] = field(default_factory=Counter)
    undetected: list[str] = field(default_factory=list)


def prepare(
    pictures: list[IdentityImage], out: Path, validation: float, seed: int, models: Path, span: int = SPAN
) -> Report:
    """Write `train` and `validation.tfrecord`, with disjoint people.

    Args:
        pictures: photos of known people.
        out: the folder to write.
        validation: below 1 the share of the people for validation, from 1 on their number.
        seed: selects these people.
        models: the model store with the detector.
        span: side in pixels of the square that a net gets.

    Returns:
        The report: the settings, the copies that are left out, and the counts of each split.

    Raises:
        ValueError: there are too few people, photos or faces for training and validation.
    """
    pictures, digests, unreadable = read(pictures)
    copies = identities.find_copies([p.person for p in pictures], digests)
    kept = [pictures[i] for i in copies.kept]
    held_out = identities.held_out((p.person for p in kept), validation, seed)
    loaded = model_store.load(models, "cpu", names=frozenset({DETECTOR}))[0]
    detector = Detector(loaded.sessions)
    out.mkdir(parents=True, exist_ok=True)
    report: Report = {
        "crop": asdict(shape(span)),
        "detector": {f.file: f.sha256 for f in loaded.entry.files},
        "unreadable": unreadable,
        "copies_across_people": [pictures[i].address for i in copies.across],
        "copies_within_a_person": [pictures[i].address for i in copies.within],
    }
    for split, chosen in (
        ("train", [p for p in kept if p.person not in held_out]),
        ("validation", [p for p in kept if p.person in held_out]),
    ):
        counts, labels = Counts(), sorted({p.person for p in chosen})
        tfrecord.write(out / f"{split}.tfrecord", records(chosen, labels, detector, counts, shape(span)))
        if len(counts.photos) < 2 or (split == "validation" and max(counts.photos.values()) < 2):
            raise ValueError(
                f"Faces of only {len(counts.photos)} people are detected in the {len(chosen)} photos for "
                f"{split}. Add "
                "photos, or give another --seed or --validation."
            )
        report[split] = {
            "people": len(labels),
            "faces": counts.photos.total(),
            "fewest": min(counts.photos.values(), default=0),
            "most": max(counts.photos.values(), default=0),
            "undetected": counts.undetected,
            "names": labels,
        }
    report["sha256"] = hash_tfrecords(out)
    return report


def read(pictures: list[IdentityImage]) -> tuple[list[IdentityImage], list[bytes], list[str]]:
    """Read all photos, and leave out those that are damaged or no images. A warning counts them.

    Args:
        pictures: photos of known people.

    Returns:
        The readable photos, a digest of the pixels of each, and the addresses of the others.

    Raises:
        BadImage: no photo is readable; the message is about the first.
    """
    readable: list[IdentityImage] = []
    digests: list[bytes] = []
    failures: dict[str, BadImage] = {}
    for picture in tqdm(pictures, desc="copies", disable=None):
        try:
            digests.append(pixel_digest(picture))
            readable.append(picture)
        except BadImage as error:
            failures[picture.address] = error
    for failure in failures.values():
        if not readable:
            raise failure
        logger.warning("Left out: %s", failure)
    if failures:
        logger.warning("%d of %d images cannot be read and are left out.", len(failures), len(pictures))
    return readable, digests, list(failures)


def crop(
    picture: IdentityImage, detector: Detector, crop_shape: CropShape
) -> UInt8[ndarray, "side side 3"] | None:
    """Return the crop of the largest face of a photo, aligned as served; None without a face."""
    image = ImagePyramid(read_image(picture.path))
    face = detector.detect(image, DetectOptions(), Timing()).largest(image.width, image.height)
    if len(face) == 0:
        return None
    points = detector.refine_points(image, face.points)
    return align.warp(image, crop_shape.transform(image, points), crop_shape.side)[0]


def pixel_digest(picture: IdentityImage) -> bytes:
    """Return a digest of the pixels of a photo: copies in different file formats have the same."""
    pixels = read_image(picture.path)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def records(
    pictures: list[IdentityImage],
    labels: list[str],
    detector: Detector,
    counts: Counts,
    crop_shape: CropShape,
) -> Iterator[tfrecord.Record]:
    """Yield the records of the photos with a detected face.

    Args:
        pictures: the photos of a split.
        labels: the people of the split; a label is the index of the person.
        detector: finds and aligns the faces.
        counts: is updated with every photo.
        crop_shape: the shape of the crops.

    Yields:
        One record a face.
    """
    for picture in tqdm(pictures, unit="photo", disable=None):
        image = crop(picture, detector, crop_shape)
        if image is None:
            counts.undetected.append(picture.address)
            continue
        counts.photos[picture.person] += 1
        yield {
            "image": encode_png(image),
            "label": np.array([labels.index(picture.person)], np.int64),
            "height": np.array([image.shape[0]], np.int64),
            "width": np.array([image.shape[1]], np.int64),
            "address": picture.address.encode(),
        }
