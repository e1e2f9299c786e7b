"""Datasets to crops: every face aligned by the five points that the served detector finds on it.

    python -m training.data.prepare --data DATA --out cache/300w
    python -m training.data.prepare --data DATA --source kaggle15 --out cache/kaggle15
    python -m training.data.prepare --data DATA --source kaggle15 --crop picture --complete --validation 100 \
        --out cache/kaggle15-pictures

writes `train`, `validation` and `test.tfrecord` (those there are) and `prepare.json` (settings, counts,
hashes). The difference between detected and labelled points is noise that serving has, so training sees it
too. Only a face that the detector misses is aligned by its labels, or, in a portrait, by what O-Net makes of
it, as in `training.submit`; and counted. `--crop picture` takes portraits as they are, unaligned.

Crops come from `app.vision` alone. They reach further than the net does, so that a turned, shrunk or moved
crop shows the photograph there, as it would when served.
"""

import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import typer
from jaxtyping import Float32, UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision import align, points
from app.vision.pyramid import ImagePyramid
from training import portraits
from training.data import crops, kaggle
from training.data.duplicates import without_twins
from training.data.sources import READERS, SPLITS, Sample, Split, with_validation
from training.matching import labelled

Cut = Literal["face", "picture"]


@dataclass(frozen=True)
class CropShape:
    """What is cut: the template; the pixels that the net's picture spans; the whole side over that span.

    The template `picture` aligns nothing: the span is the picture, whole.
    """

    template: align.Template | Literal["picture"] = "face"
    span: int = 160
    margin: float = 1.75

    @property
    def side(self) -> int:
        return round(self.span * self.margin)

    def transform(self, picture: ImagePyramid, five: Float32[ndarray, "1 5 2"]) -> Float32[ndarray, "1 2 3"]:
        """What takes the picture with these five points to the crop."""
        low = (self.side - self.span) / 2
        if self.template == "picture":
            whole = np.array([[0, 0, picture.width, picture.height]], np.float32)
            out = align.of_boxes(whole, self.span)
            out[:, :, 2] += np.float32(low)
            return out
        return align.umeyama(five, align.template(self.template, self.span) + np.float32(low))


SHAPES: dict[Cut, CropShape] = {"face": CropShape(), "picture": CropShape("picture", kaggle.SIDE, 1.5)}
"""What `--crop` takes."""


@dataclass(frozen=True)
class Crop:
    """One face: its crop, points and five points in pixels of the crop, and how it came about."""

    sample: Sample
    image: ndarray
    points: ndarray
    five: ndarray
    transform: ndarray
    corners: ndarray
    detected: bool


def cut(sample: Sample, detector: Detector, shape: CropShape) -> Crop:
    """The sample's crop, aligned by the detector's points."""
    pixels = sample.pixels()
    picture = ImagePyramid(pixels)
    five, detected = five_labelled(sample), False
    if shape.template != "picture":
        five, detected = five_served(sample, picture, detector)
    transform = shape.transform(picture, five)
    return Crop(
        sample,
        continued(pixels, transform, shape.side),
        align.apply(transform, sample.points[None])[0],
        align.apply(transform, five)[0],
        transform[0],
        align.apply(transform, corners_of(picture.width, picture.height)[None])[0],
        detected,
    )


def five_served(sample: Sample, picture: ImagePyramid, detector: Detector) -> portraits.Five:
    """The five points that serving aligns by; the labels' where the detector misses a photograph's face."""
    if sample.portrait:
        return portraits.five(detector, picture[0])
    faces = detector.detect(picture, DetectOptions(), Timing())
    chosen = labelled(faces, sample.points)
    if chosen is None:
        return portraits.Five(five_labelled(sample), False)
    return portraits.Five(faces.points[[chosen]], True)


def five_labelled(sample: Sample) -> Float32[ndarray, "1 5 2"]:
    """The labels' five points; of Kaggle's, those without a label stand where the others suggest."""
    if sample.scheme == "ibug68":
        return points.five_of_ibug68(sample.points[None])
    five = sample.points[None, kaggle.FIVE]
    known = np.isfinite(five[0]).all(axis=1)
    mean = align.template("kaggle15", kaggle.SIDE)
    expected = align.apply(align.umeyama(mean[None, known], five[0, known]), mean[None])
    return np.where(known[:, None], five, expected)


def corners_of(width: int, height: int) -> Float32[ndarray, "4 2"]:
    """A picture's corners, clockwise from the top left, at its edges."""
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return unit * np.array([width, height], np.float32) - np.float32(0.5)


def continued(
    image: UInt8[ndarray, "h w 3"], transform: Float32[ndarray, "1 2 3"], side: int
) -> UInt8[ndarray, "side side 3"]:
    """The crop as `align.warp` cuts it, but with the picture mirrored on beyond its edges in place of black.

    The datasets' pictures are cut around the labels: where their edges lie tells where the face is. What
    is kept of the beyond, and where black begins, is for the augmentation to draw.
    """
    height, width = image.shape[:2]
    reach = align.apply(align.invert(transform), corners_of(side, side)[None])[0]
    low = np.maximum(0, np.ceil(-reach.min(axis=0)).astype(int) + 2)
    high = np.maximum(0, np.ceil(reach.max(axis=0) - (width, height)).astype(int) + 3)
    wide = cv2.copyMakeBorder(image, low[1], high[1], low[0], high[0], cv2.BORDER_REFLECT_101)
    moved = transform.copy()
    moved[0, :, 2] -= transform[0, :, :2] @ low.astype(np.float32)
    return align.warp(ImagePyramid(wide), moved, side)[0]


def stack(cut: list[Crop], shape: CropShape) -> crops.Crops:
    """The crops of one split as arrays."""
    return crops.Crops(
        np.stack([c.image for c in cut]),
        np.stack([c.points for c in cut]),
        np.stack([c.five for c in cut]),
        np.stack([c.transform for c in cut]),
        np.stack([c.corners for c in cut]),
        np.array([c.detected for c in cut]),
        tuple(c.sample.name for c in cut),
        tuple(c.sample.photo for c in cut),
        shape.span,
    )


def apart(faces: dict[Split, crops.Crops]) -> dict[Split, list[str]]:
    """Takes out of each split the photographs that a later one holds too; answers their names."""
    left_out: dict[Split, list[str]] = {split: [] for split in faces}
    for before, after in combinations(faces, 2):
        faces[before], names = without_twins(faces[before], faces[after])
        left_out[before] += names
    return left_out


def data_hash(folder: Path) -> str:
    """One sha256 for all TFRecord files of a folder, over their names and hashes."""
    parts = [f"{path.name} {model_store.sha256(path)}" for path in sorted(folder.glob("*.tfrecord"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def inside(faces: crops.Crops) -> float:
    """The share of faces with every point within the net's picture."""
    low = (faces.side - faces.span) / 2
    within = (faces.points > low) & (faces.points < low + faces.span)
    return float((within | np.isnan(faces.points)).all(axis=(1, 2)).mean())


def main(
    data: Annotated[Path, typer.Option(help="the folder that holds the datasets")],
    out: Annotated[Path, typer.Option(help="where the TFRecord files go")],
    source: Annotated[list[str] | None, typer.Option(help="a dataset; several may be named")] = None,
    crop: Annotated[Cut, typer.Option(help="faces aligned, or portraits as they are")] = "face",
    complete: Annotated[bool, typer.Option(help="only faces with every point labelled")] = False,
    models: Annotated[Path, typer.Option(help="the model store with the detector")] = Path("models"),
    validation: Annotated[
        float, typer.Option(help="share of training photographs, or from 1 on faces")
    ] = 0.08,
    seed: int = 0,
) -> None:
    """Cuts every face of the datasets and writes them as TFRecord files."""
    names, shape = source or ["300w"], SHAPES[crop]
    read = (s for name in names for s in READERS[name](data))
    chosen = [s for s in read if not complete or np.isfinite(s.points).all()]
    samples = with_validation(chosen, validation, seed)
    if not samples:
        sys.exit(f"no samples of {', '.join(names)} under {data}")
    loaded = model_store.load(models, "cpu", names=frozenset({"mtcnn"}))[0]
    detector = Detector(loaded.sessions)
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {
        "sources": names,
        "seed": seed,
        "complete": complete,
        "crop": asdict(shape),
        "detector": {f.file: f.sha256 for f in loaded.entry.files},
    }
    cuts = {split: [s for s in samples if s.split == split] for split in SPLITS}
    faces = {
        split: stack([cut(s, detector, shape) for s in tqdm(chosen, desc=split)], shape)
        for split, chosen in cuts.items()
        if chosen
    }
    left_out = apart(faces)
    for split, crop_set in faces.items():
        crops.save(out / f"{split}.tfrecord", crop_set)
        found = dict(zip(crop_set.names, crop_set.detected, strict=True))
        report[split] = {
            "faces": len(crop_set),
            "photographs": len(set(crop_set.photos)),
            "by_folder": Counter(name.rsplit("/", 1)[0] for name in crop_set.names),
            "undetected": [n for n in found if not found[n]] if crop == "face" else "not asked",
            "left_out_as_twins": left_out[split],
            "share_wholly_inside": round(inside(crop_set), 4),
        }
    report["sha256"] = data_hash(out)
    (out / "prepare.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
