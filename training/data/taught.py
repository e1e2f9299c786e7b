"""Photographs without points, labelled by a landmark net: more faces for the net that learns next.

    python -m training.data.taught --data DATA --beside cache/300w --teacher landmarks68 --out cache/taught

takes the folders of people under `DATA/identities`, at most so many pictures of each, and writes the training
faces of `--beside` together with these; validation and test stay as they are there. What a face is
labelled with is the mean of two readings: of the crop aligned by the detector's points, and of the mirrored
crop aligned by the first reading, which is better than what one reading of the teacher knows. Faces on which
the two disagree are left out, for there the teacher is wrong about one.

Self-training as in Yarowsky (1995); the mirrored reading as in data distillation (Radosavovic et al., 2018).
"""

import json
import shutil
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32, UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.landmarks import Landmarker
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision.points import five_of_ibug68, mirror
from app.vision.pyramid import ImagePyramid
from training.data import crops, prepare
from training.data.crops import Crops
from training.data.duplicates import without_twins
from training.data.sources import PICTURES, Sample
from training.metrics import nme

FAR_APART = 0.06
"""Most mean distance of the two readings, over the outer-eye distance."""

LEAST_SCORE = 0.95


def people(folder: Path, most: int) -> list[Path]:
    """Pictures of the folders of people under `folder`, at most so many of each, spread over their names."""
    out: list[Path] = []
    for person in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        files = sorted(path for path in person.iterdir() if path.suffix.lower() in PICTURES)
        places = np.linspace(0, len(files) - 1, min(most, len(files))).astype(int)
        out += [files[i] for i in places]
    return out


def readings(
    image: UInt8[ndarray, "h w 3"], five: Float32[ndarray, "1 5 2"], teacher: Landmarker
) -> tuple[Float32[ndarray, "68 2"], Float32[ndarray, "68 2"]]:
    """The teacher's points on the face, and on the mirrored face aligned by them, mirrored back."""
    width = image.shape[1]
    first = teacher(ImagePyramid(image), five)
    other_five = five_of_ibug68(mirror(first, width, "ibug68"))
    second = mirror(teacher(ImagePyramid(np.ascontiguousarray(image[:, ::-1])), other_five), width, "ibug68")
    return first[0], second[0]


def label(path: Path, name: str, detector: Detector, teacher: Landmarker) -> tuple[Sample, float] | None:
    """The picture's only sure face with the mean of its readings, and how far they are apart; or None."""
    blank = Sample(name, name, path, np.empty((68, 2), np.float32), "ibug68", "train")
    image = blank.pixels()
    faces = detector.detect(ImagePyramid(image), DetectOptions(), Timing())
    if len(faces) != 1 or faces.scores[0] < LEAST_SCORE:
        return None
    first, second = readings(image, faces.points, teacher)
    apart = float(nme(first[None], second[None], "ibug68")[0])
    return replace(blank, points=(first + second) / 2), apart


def together(first: Crops, second: Crops) -> Crops:
    """The crops of both. Raises ValueError where they are of two sizes."""
    if (first.side, first.span) != (second.side, second.span):
        raise ValueError(f"crops of {first.side} and of {second.side} pixels")
    arrays = ("images", "points", "five", "transforms", "corners", "detected")
    joined = {key: np.concatenate([getattr(first, key), getattr(second, key)]) for key in arrays}
    names, photos = first.names + second.names, first.photos + second.photos
    return Crops(**joined, names=names, photos=photos, span=first.span)


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds identities/")],
    beside: Annotated[Path, typer.Option(help="what prepare wrote of labelled faces")],
    out: Annotated[Path, typer.Option(help="where the TFRecord files go")],
    teacher: Annotated[str, typer.Option(help="the model of 68 points that labels")] = "landmarks68",
    models: Annotated[Path, typer.Option(help="the model store")] = Path("models"),
    most: Annotated[int, typer.Option(help="most pictures of one person")] = 24,
) -> None:
    """Labels the pictures of people and writes them beside the labelled faces."""
    pictures = people(data / "identities", most)
    if not pictures:
        sys.exit(f"no folders of people under {data / 'identities'}")
    detection, landmarks = model_store.load(models, "cpu", names=frozenset({"mtcnn", teacher}))
    if detection.entry.task != "detect":
        detection, landmarks = landmarks, detection
    detector = Detector(detection.sessions)
    landmarker = Landmarker(landmarks.sessions["landmarks"])
    if landmarker.scheme != "ibug68":
        sys.exit(f"{teacher} does not mark 68 points")
    shape = prepare.CropShape()
    cuts: list[prepare.Crop] = []
    left_out: Counter[str] = Counter()
    for path in tqdm(pictures, unit="picture", disable=None):
        found = label(path, path.relative_to(data).as_posix(), detector, landmarker)
        if found is None:
            left_out["not one sure face"] += 1
        elif found[1] > FAR_APART:
            left_out["readings apart"] += 1
        else:
            cuts.append(prepare.cut(found[0], detector, shape))
    taught = prepare.stack(cuts, shape)
    for split in ("validation", "test"):
        if (beside / f"{split}.tfrecord").exists():
            taught, twins = without_twins(taught, crops.load(beside / f"{split}.tfrecord"))
            left_out["twins of " + split] += len(twins)

    out.mkdir(parents=True, exist_ok=True)
    labelled = crops.load(beside / "train.tfrecord")
    crops.save(out / "train.tfrecord", together(labelled, taught))
    for split in ("validation", "test"):
        if (beside / f"{split}.tfrecord").exists():
            shutil.copyfile(beside / f"{split}.tfrecord", out / f"{split}.tfrecord")
    report = {
        "beside": json.loads((beside / "prepare.json").read_text())["sha256"],
        "teacher": {f.file: f.sha256 for f in landmarks.entry.files},
        "detector": {f.file: f.sha256 for f in detection.entry.files},
        "crop": asdict(shape),
        "most_of_a_person": most,
        "train": {"labelled": len(labelled), "taught": len(taught), "left_out": dict(left_out)},
        "sha256": prepare.data_hash(out),
    }
    (out / "prepare.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
