"""Faces with the vectors of a teacher, for distillation: those of known people, and faces without a name.

A net that learns to return the teacher's vectors needs no names, so photos of any people serve. LFW and the
part of MTFL that is made of LFW's images are never read: LFW is the test set.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), of vectors instead of classes.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions, Detector
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.timing import Timing
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data.datasets import scenes, wider
from training.data.datasets.images import read_image
from training.data.datasets.landmark_sets import READERS
from training.data.prepare import cropped_faces
from training.data.prepare.identity_crops import shape
from training.data.prepare.landmark_crops import DETECTOR, CropShape, Report
from training.data.storage import identity_crops, tfrecord
from training.data.storage.crops import encode_png
from training.data.storage.data_hash import hash_tfrecords
from training.data.storage.prepared import read_report

LFW_PART = "lfw_5590/"
"""The folder of MTFL whose images are LFW's."""

UNNAMED = -1
"""The label of a face of an unknown person."""

MIN_SCORE = 0.95
"""Minimum detection score of a face in a photo of several people."""

MIN_FACE_SIZE = 40.0
"""Minimum side in pixels of a face in a photo of several people."""


class Located(NamedTuple):
    """A face in a photo.

    Attributes:
        address: the photo, and the number of the face if the photo has several.
        picture: the photo.
        points: five points, in pixels.
        label: the number of the person, or `UNNAMED`.
    """

    address: str
    picture: ImagePyramid
    points: Float32[ndarray, "1 5 2"]
    label: int


def prepare(data: Path, beside: Path, out: Path, teacher: str, models: Path) -> Report:
    """Write the training faces of a prepared set and faces without a name, each with the teacher's vector.

    Args:
        data: the folder that holds `identities/`, and what there is of `300w/`, `mtfl5/` and `wider/`.
        beside: the set of `training.prepare identities`; its validation faces are copied, and all
            faces get the shape of its crops.
        out: the folder to write.
        teacher: the embedder.
        models: the model store with the detector and the teacher.

    Returns:
        The report: the settings, and the number of training faces of each dataset.

    Raises:
        BadPreparedData: there is no such prepared set, or it is damaged.
        FileNotFoundError: one of its photos is missing.
    """
    known = identity_crops.load(beside / "train.tfrecord")
    about = read_report(beside, "identities")
    names = models_for(models, {"detect": DETECTOR, "embed": teacher})
    analyzer = Analyzer(model_store.load(models, "cpu", names=names))
    files = {m.entry.name: {f.file: f.sha256 for f in m.entry.files} for m in analyzer.models}
    counts: Counter[str] = Counter()
    faces, crop = _faces(data, known, analyzer), shape(known.span)
    tfrecord.write(out / "train.tfrecord", _records(faces, analyzer, teacher, crop, counts))
    shutil.copyfile(beside / "validation.tfrecord", out / "validation.tfrecord")
    return {
        "sources": [*about["sources"], *(name for name in counts if name != "identities")],
        "beside": about["sha256"],
        "teacher": files[teacher],
        "detector": files[DETECTOR],
        "crop": asdict(crop),
        "train": {"faces": counts.total(), "by_set": dict(counts), "names": about["train"]["names"]},
        "validation": about["validation"],
        "sha256": hash_tfrecords(out),
    }


def _records(
    faces: Iterator[Located], analyzer: Analyzer, teacher: str, crop: CropShape, counts: Counter[str]
) -> Iterator[tfrecord.Record]:
    embedder = analyzer.embedder(teacher)
    for face in tqdm(faces, unit="face", disable=None):
        points = analyzer.align(face.picture, face.points, embedder, Timing())
        vector = embedder.represent(face.picture, points)[0]
        refined = analyzer.detector(DETECTOR).refine_points(face.picture, face.points)
        image = align.warp(face.picture, crop.transform(face.picture, refined), crop.side)[0]
        counts[face.address.split("/")[0] if face.label == UNNAMED else "identities"] += 1
        yield {
            "image": encode_png(image),
            "label": np.array([face.label], np.int64),
            "height": np.array([image.shape[0]], np.int64),
            "width": np.array([image.shape[1]], np.int64),
            "address": face.address.encode(),
            "vector": vector.astype(np.float32),
        }


def _faces(data: Path, known: identity_crops.IdentityCrops, analyzer: Analyzer) -> Iterator[Located]:
    """Yield the faces of the known people, then those of the datasets of unknown people."""
    detector = analyzer.detector(DETECTOR)
    for address, label in zip(known.addresses, known.labels.tolist(), strict=True):
        picture = ImagePyramid(read_image(data / "identities" / address))
        face = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
        yield Located(address, picture, face.points, label)
    yield from _cropped(data, detector)
    yield from _of_wider(data / "wider", detector)


def _cropped(data: Path, detector: Detector) -> Iterator[Located]:
    """Yield the faces of datasets whose images are cropped around one face: 300-W and MTFL."""
    images: list[tuple[str, ImagePyramid]] = []
    if (data / "300w").exists():
        samples = (sample for sample in READERS["300w"](data) if sample.split == "train")
        images += [(f"300w/{sample.name}", ImagePyramid(sample.pixels())) for sample in samples]
    if (data / "mtfl5").exists():
        portraits = scenes.read_mtfl(data / "mtfl5", "training")
        images += [(f"mtfl5/{p.name}", p.picture) for p in portraits if not p.name.startswith(LFW_PART)]
    for address, picture in images:
        points, detected = cropped_faces.find_five(detector, picture[0])
        if detected:
            yield Located(address, picture, points, UNNAMED)


def _of_wider(root: Path, detector: Detector) -> Iterator[Located]:
    """Yield the large and certain faces of WIDER FACE's training photos."""
    if not root.exists():
        return
    for labelled in wider.read(root, "train"):
        picture = ImagePyramid(read_image(labelled.path))
        options = DetectOptions(min_face_size=MIN_FACE_SIZE, threshold=MIN_SCORE)
        faces = detector.detect(picture, options, Timing())
        for i in range(len(faces)):
            yield Located(f"wider/{labelled.path.name}/{i}", picture, faces.points[i][None], UNNAMED)
