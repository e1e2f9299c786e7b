"""Pseudo-labels: photos without landmarks, labelled by a landmark net, as additional training faces.

The label of a face is the mean of two predictions: of the crop aligned by the detector's points, and of the
mirrored crop aligned by the first prediction. Faces on which the two disagree are left out.

Sources: self-training, Yarowsky (1995); the mirrored prediction, data distillation, Radosavovic et al.
(2018).
"""

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.landmarks import Landmarker, landmarker_of
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision.points import five_of_ibug68, mirror
from app.vision.pyramid import ImagePyramid
from training.config.origins import sources_of
from training.data.datasets.images import IMAGE_SUFFIXES
from training.data.datasets.landmark_sets import Sample
from training.data.prepare.landmark_crops import DETECTOR, Crop, CropShape, Report, crop, stack
from training.data.prepare.near_duplicates import without_duplicates
from training.data.storage import landmark_crops
from training.data.storage.data_hash import hash_tfrecords
from training.metrics.landmarks import nme

MAX_DISAGREEMENT = 0.06
"""Maximum NME between the two predictions of a face that is kept."""

MIN_SCORE = 0.95
"""Minimum detection score of a face that is kept."""


def prepare(data: Path, labelled: Path, out: Path, teacher: str, models: Path, max_images: int) -> Report:
    """Write the training faces of a prepared set together with pseudo-labelled ones.

    Args:
        data: the folder that holds `identities/`.
        labelled: the prepared set; its validation and test faces are copied.
        out: the folder to write.
        teacher: the landmark model with 68 points that labels the photos.
        models: the model store.
        max_images: maximum number of photos per person.

    Returns:
        The report: the settings, and the counts of the training faces.

    Raises:
        ValueError: there are no photos, none can be labelled, or the teacher is not such a model.
        FileNotFoundError: the prepared set is missing.
    """
    known = landmark_crops.load(labelled / "train.tfrecord")
    photos = photos_of_people(data / "identities", max_images)
    if not photos:
        raise ValueError(f"{data / 'identities'} holds no folders of people.")
    loaded = {m.entry.task: m for m in model_store.load(models, "cpu", names=frozenset({DETECTOR, teacher}))}
    if "landmarks" not in loaded:
        raise ValueError(f"{teacher} is not a landmark model. Give a model with 68 points.")
    detector = Detector(loaded["detect"].sessions)
    landmarker = landmarker_of(loaded["landmarks"].sessions["landmarks"])
    if landmarker.scheme != "ibug68":
        raise ValueError(f"{teacher} has the scheme {landmarker.scheme}. Give a model with 68 points.")
    shape = CropShape()
    left_out: Counter[str] = Counter()
    crops: list[Crop] = []
    for path in tqdm(photos, unit="photo", disable=None):
        face = label(path, path.relative_to(data).as_posix(), detector, landmarker)
        if face is None:
            left_out["not one certain face"] += 1
            continue
        sample, disagreement = face
        if disagreement > MAX_DISAGREEMENT:
            left_out["predictions disagree"] += 1
        else:
            crops.append(crop(sample, detector, shape))
    if not crops:
        raise ValueError(f"No photo of {data / 'identities'} can be labelled: {dict(left_out)}.")
    faces = stack(crops, shape)
    others = [path for split in ("validation", "test") if (path := labelled / f"{split}.tfrecord").exists()]
    for path in others:
        faces, duplicates = without_duplicates(faces, landmark_crops.load(path))
        left_out[f"duplicates of {path.stem}"] += len(duplicates)

    out.mkdir(parents=True, exist_ok=True)
    landmark_crops.save(out / "train.tfrecord", landmark_crops.concatenate(known, faces))
    for path in others:
        shutil.copyfile(path, out / path.name)
    beside = json.loads((labelled / "prepare.json").read_text())
    research_only = loaded["landmarks"].entry.research_only
    return {
        "sources": [
            *sources_of(beside),
            *(f"folders:{name}" for name in sorted({path.parent.parent.name for path in photos})),
            *(["pseudolabels"] if research_only else []),
        ],
        "beside": beside["sha256"],
        "teacher": {f.file: f.sha256 for f in loaded["landmarks"].entry.files},
        "detector": {f.file: f.sha256 for f in loaded["detect"].entry.files},
        "crop": asdict(shape),
        "max_images_per_person": max_images,
        "train": {"labelled": len(known), "pseudo_labelled": len(faces), "left_out": dict(left_out)},
        "sha256": hash_tfrecords(out),
    }


def photos_of_people(folder: Path, max_images: int) -> list[Path]:
    """Return photos from the folders `<set>/<person>`, evenly spaced in the order of their names.

    Args:
        folder: the folder that holds the sets.
        max_images: maximum number of photos per person.
    """
    out: list[Path] = []
    for person in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        files = sorted(path for path in person.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        index = np.linspace(0, len(files) - 1, min(max_images, len(files))).astype(int)
        out += [files[i] for i in index]
    return out


def predictions(
    image: UInt8[ndarray, "h w 3"], five: Float32[ndarray, "1 5 2"], teacher: Landmarker
) -> tuple[Float32[ndarray, "68 2"], Float32[ndarray, "68 2"]]:
    """Return the teacher's points on the face, and on the mirrored face aligned by them, mirrored back."""
    width = image.shape[1]
    first = teacher(ImagePyramid(image), five)
    mirrored_five = five_of_ibug68(mirror(first, width, "ibug68"))
    mirrored = ImagePyramid(np.ascontiguousarray(image[:, ::-1]))
    return first[0], mirror(teacher(mirrored, mirrored_five), width, "ibug68")[0]


def label(path: Path, name: str, detector: Detector, teacher: Landmarker) -> tuple[Sample, float] | None:
    """Return the labelled sample of a photo's only certain face, and the NME between the two predictions.

    None if the photo has no face, several, or an uncertain one.
    """
    unlabelled = Sample(name, name, path, np.empty((68, 2), np.float32), "ibug68", "train")
    image = unlabelled.pixels()
    faces = detector.detect(ImagePyramid(image), DetectOptions(), Timing())
    if len(faces) != 1 or faces.scores[0] < MIN_SCORE:
        return None
    first, second = predictions(image, faces.points, teacher)
    disagreement = float(nme(first[None], second[None], "ibug68")[0])
    return replace(unlabelled, points=(first + second) / 2), disagreement
