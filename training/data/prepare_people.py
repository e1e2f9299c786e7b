"""Pictures of people to aligned crops, by the served detector and nothing else.

    python -m training.data.prepare_people --source folders:DATA/identities/celeba \
        --source folders:DATA/identities/vggface2 --out cache/people

writes `train` and `validation.tfrecord`, whose people are different ones, and `prepare.json` (settings,
counts, who is where, what was left out, hashes). A record holds `image` (PNG), `label` (from 0 in each file),
`height`, `width` and `address` (the picture's path under its folder). A picture without a face is counted and
listed: serving could not have embedded it.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision import align
from app.vision.pyramid import ImagePyramid
from training.data import people, records
from training.data.images import read_image
from training.data.people import Picture
from training.data.prepare import CropShape, data_hash

SHAPE = CropShape("arcface", span=80, margin=1.2)
"""The net's picture spans 80 of 96 pixels: the rest is for shifts, turns and scalings of the augmentation."""


@dataclass
class Found:
    """Who was cut: pictures by person, and the addresses without a face."""

    pictures: Counter[str] = field(default_factory=Counter)
    undetected: list[str] = field(default_factory=list)


def cut(picture: Picture, detector: Detector) -> ndarray | None:
    """The largest face's crop (side, side, 3), aligned as served; None without a face."""
    octaves = ImagePyramid(read_image(picture.path))
    face = detector.detect(octaves, DetectOptions(), Timing()).largest(octaves.width, octaves.height)
    if len(face) == 0:
        return None
    points = detector.refine_points(octaves, face.points)
    return align.warp(octaves, SHAPE.transform(octaves, points), SHAPE.side)[0]


def digest(picture: Picture) -> bytes:
    """Of the pixels: the same picture in two files, however written, has one."""
    pixels = read_image(picture.path)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def rows(
    pictures: list[Picture], labels: list[str], detector: Detector, found: Found
) -> Iterator[records.Record]:
    """The records of the pictures with a face; `found` is told of all."""
    for picture in tqdm(pictures, unit="picture", disable=None):
        crop = cut(picture, detector)
        if crop is None:
            found.undetected.append(picture.address)
            continue
        found.pictures[picture.person] += 1
        _, png = cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))
        yield {
            "image": png.tobytes(),
            "label": np.array([labels.index(picture.person)], np.int64),
            "height": np.array([crop.shape[0]], np.int64),
            "width": np.array([crop.shape[1]], np.int64),
            "address": picture.address.encode(),
        }


def main(
    source: Annotated[
        list[str], typer.Option(help="folders:DIR, celeba:DIR or lfw:DIR; several may be named")
    ],
    out: Annotated[Path, typer.Option(help="where the TFRecord files go")],
    models: Annotated[Path, typer.Option(help="the model store with the detector")] = Path("models"),
    validation: Annotated[int, typer.Option(help="people kept out of training")] = 30,
    seed: int = 0,
) -> None:
    """Cuts every face of the people and writes them as TFRecord files."""
    try:
        pictures = people.read_people(source)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    twins = people.copies(
        [p.person for p in pictures], [digest(p) for p in tqdm(pictures, desc="copies", disable=None)]
    )
    kept = [pictures[i] for i in twins.kept]
    held = people.held_out((p.person for p in kept), validation, seed)
    loaded = model_store.load(models, "cpu", names=frozenset({"mtcnn"}))[0]
    detector = Detector(loaded.sessions)
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {
        "sources": [f"{kind}:{Path(folder).name}" for kind, _, folder in (s.partition(":") for s in source)],
        "seed": seed,
        "crop": asdict(SHAPE),
        "detector": {f.file: f.sha256 for f in loaded.entry.files},
        "copies_across_people": [pictures[i].address for i in twins.across],
        "copies_within_a_person": [pictures[i].address for i in twins.within],
    }
    for split, chosen in (
        ("train", [p for p in kept if p.person not in held]),
        ("validation", [p for p in kept if p.person in held]),
    ):
        found, labels = Found(), sorted({p.person for p in chosen})
        records.write(out / f"{split}.tfrecord", rows(chosen, labels, detector, found))
        report[split] = {
            "people": len(labels),
            "faces": found.pictures.total(),
            "fewest": min(found.pictures.values(), default=0),
            "most": max(found.pictures.values(), default=0),
            "undetected": found.undetected,
            "names": labels,
        }
    report["sha256"] = data_hash(out)
    (out / "prepare.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
