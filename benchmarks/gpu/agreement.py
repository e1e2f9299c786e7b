"""Section: the answers of the device against those of the CPU, for every net and for whole detectors."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Faces
from app.runtime.model_store import load
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision.boxes import iou
from app.vision.pyramid import ImagePyramid
from benchmarks.gpu.inputs import Inputs, inputs_of, rgb_photos
from benchmarks.gpu.plan import MODELS, Plan, Result, Table

TOLERANCE = 1e-3
"""Greatest difference of an output, as a share of its greatest absolute value on the CPU."""

MIN_IOU = 0.98
MAX_POINT_SHARE = 0.01
"""A point of a face may differ by this share of the shorter side of its box."""


@dataclass(frozen=True)
class Difference:
    """The difference of one output of a net on two devices.

    Attributes:
        net: the model and the stage.
        output: the output.
        greatest: its greatest absolute value on the CPU.
        photographs: the greatest absolute difference for the inputs of photos.
        random: the same for random inputs.
    """

    net: str
    output: str
    greatest: float
    photographs: float
    random: float

    @property
    def share(self) -> float:
        """The greatest difference as a share of the greatest value; infinite if a value is not a number."""
        difference = max(_or_inf(self.photographs), _or_inf(self.random))
        if difference == 0:
            return 0.0
        return difference / self.greatest if self.greatest else math.inf


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value


def measure(plan: Plan) -> Iterator[Result]:
    """Compare all models of the manifest on the device and on the CPU.

    Args:
        plan: the plan.

    Yields:
        The results.
    """
    photos = rgb_photos(plan.small)
    tested, reference = load(MODELS, plan.setting), load(MODELS, "cpu")
    inputs = inputs_of(tested, photos)
    rows: list[list[object]] = []
    heads = ["net", "output", "greatest value", "difference, photos", "difference, random", "greatest share"]
    result = Result([Table(heads, rows, "Differences of the outputs of each net.")], [_note(len(photos))])
    for model, other in zip(tested, reference, strict=True):
        if not plan.seconds_left:
            yield result.cut(model.entry.name)
            return
        for stage, session in model.sessions.items():
            net = f"{model.entry.name} {stage}"
            for d in compare_net(net, session, other.sessions[stage], inputs[model.entry.name, stage]):
                rows.append([net, d.output, d.greatest, d.photographs, d.random, d.share])
                if d.share > TOLERANCE:
                    result.faults.append(f"{net}, {d.output}: differs by {d.share:.2g} of the greatest value")
        yield result
    faces, faults = compare_faces(Analyzer(tested), Analyzer(reference), photos)
    result.tables.append(faces)
    result.faults += faults
    yield result


def _note(photos: int) -> str:
    return (
        f"A difference may be {TOLERANCE:g} of the greatest value of its output. The inputs are those that "
        f"the pipeline gives each net for {photos} photos, and random ones with a fixed seed."
    )


def compare_net(net: str, tested: ModelSession, reference: ModelSession, inputs: Inputs) -> list[Difference]:
    """Return the difference of each output of a net on two devices.

    Args:
        net: its name.
        tested: the net on the device.
        reference: the net on the CPU.
        inputs: the inputs.

    Raises:
        ValueError: there are no inputs of photos, so the net would not be compared.
    """
    if not inputs.photographs:
        raise ValueError(f"The photos gave {net} no input")
    greatest: dict[str, float] = {}
    found: dict[tuple[str, str], float] = {}
    for kind, arrays in (("photographs", inputs.photographs), ("random", inputs.random)):
        for images in arrays:
            there = tested.run(images)
            for output, here in reference.run(images).items():
                difference = np.abs(there[output] - here).max(initial=0.0)
                found[output, kind] = float(np.maximum(found.get((output, kind), 0.0), difference))
                greatest[output] = max(greatest.get(output, 0.0), float(np.abs(here).max(initial=0.0)))
    return [
        Difference(
            net, output, most, found.get((output, "photographs"), 0.0), found.get((output, "random"), 0.0)
        )
        for output, most in greatest.items()
    ]


def compare_faces(
    tested: Analyzer, reference: Analyzer, photos: Sequence[ndarray]
) -> tuple[Table, list[str]]:
    """Return a table of the faces that each detector finds on both devices, and what differs too much.

    Args:
        tested: the models on the device.
        reference: the same models on the CPU.
        photos: the photos, RGB (h, w, 3) uint8.
    """
    rows, faults = [], []
    for name in reference.detectors:
        counts, overlaps, shares = [0, 0], [1.0], [0.0]
        for photo in photos:
            picture = ImagePyramid(photo)
            there, here = (
                a.detector(name).detect(picture, DetectOptions(), Timing()) for a in (tested, reference)
            )
            counts[0] += len(there)
            counts[1] += len(here)
            if len(there) != len(here):
                faults.append(f"{name} finds {len(there)} faces on the device, {len(here)} on the CPU")
            elif len(here):
                overlap, share = match(there, here)
                overlaps.append(overlap)
                shares.append(share)
        if min(overlaps) < MIN_IOU or max(shares) > MAX_POINT_SHARE:
            faults.append(f"{name}: overlap {min(overlaps):.3f}, points off by {max(shares):.3f} of a side")
        rows.append([name, *counts, min(overlaps), max(shares)])
    heads = ["detector", "faces", "faces on the CPU", "smallest IoU", "greatest distance of a point / side"]
    return Table(heads, rows, "Faces of the photos, by detector."), faults


def match(there: Faces, here: Faces) -> tuple[float, float]:
    """Return the smallest IoU of matching faces, and their greatest distance of a point.

    Args:
        there: at least one face.
        here: at least one face. Each is matched with the face of `there` that overlaps most.

    Returns:
        The IoU, and the distance as a share of the shorter side of the face.
    """
    overlaps = iou(here.boxes, there.boxes)
    best = overlaps.argmax(axis=1)
    sides = (here.boxes[:, 2:] - here.boxes[:, :2]).min(axis=1)
    distances = np.linalg.norm(there.points[best] - here.points, axis=2).max(axis=1)
    return float(overlaps.max(axis=1).min()), float((distances / sides).max())
