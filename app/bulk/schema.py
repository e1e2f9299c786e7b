"""The schema of the Parquet files, and their rows."""

import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote_from_bytes

import pyarrow as pa
from pyarrow import parquet

from app.bulk.description import FORMAT, Description
from app.pipeline.faces import Faces
from app.service.problems import Problem
from app.service.responses import Box, Pose, Size
from app.vision.points import FIVE

_PIXEL = pa.float32()
_POINT = pa.list_(_PIXEL, 2)


@dataclass(frozen=True)
class ImageRow:
    """What became of an image.

    Attributes:
        file: its path or URI, as the operating system encodes it.
        relative: its path relative to the given folder.
        sha256: SHA-256 of the encoded image; None if it could not be read.
        size: size of the image; None if it failed.
        faces: its faces; None if it failed.
        problem: the problem of an image that failed.
    """

    file: bytes
    relative: bytes
    sha256: bytes | None = None
    size: Size | None = None
    faces: Faces | None = None
    problem: Problem | None = None


def schema_of(run: Description) -> pa.Schema:
    """Return the schema of the files of a run; docs/guides/bulk.md describes it."""
    face = [
        pa.field("box", pa.struct([(side, _PIXEL) for side in Box.model_fields]), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("keypoints", pa.struct([(point, _POINT) for point in FIVE]), nullable=False),
        pa.field("rotation", pa.int16(), nullable=False),
    ]
    if run.options.get("pose"):
        face.append(pa.field("pose", pa.struct([(angle, pa.float32()) for angle in Pose.model_fields])))
    if run.options.get("quality"):
        face.append(pa.field("quality", pa.float32()))
    if run.task == "landmarks":
        face.append(pa.field("landmarks", pa.list_(pa.list_(_PIXEL, run.dimension))))
    if run.task == "embed":
        face.append(pa.field("embedding", pa.list_(pa.float32(), run.dimension)))
    problem = [(name, pa.string()) for name in ("type", "title", "detail", "field")]
    return pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            pa.field("file_bytes", pa.string()),
            pa.field("relative", pa.string(), nullable=False),
            pa.field("sha256", pa.binary(32)),
            pa.field("image", pa.struct([("width", pa.int32()), ("height", pa.int32())])),
            pa.field("faces", pa.list_(pa.struct(face))),
            pa.field("model", pa.string(), nullable=False),
            pa.field("detector", pa.string(), nullable=False),
            pa.field("contract", pa.string()),
            pa.field("scheme", pa.string()),
            pa.field("problem", pa.struct([*problem, ("status", pa.int16())])),
        ],
        metadata={"facet.format": str(FORMAT), "facet.run": json.dumps(asdict(run))},
    )


def parquet_of(rows: list[ImageRow], run: Description) -> bytes:
    """Return the Parquet file of some images, with one row group."""
    schema = schema_of(run)
    table = pa.Table.from_pylist([_row(row, run) for row in rows], schema)
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=max(1, len(rows)), compression="zstd")
    return sink.getvalue().to_pybytes()


def _row(row: ImageRow, run: Description) -> dict[str, Any]:
    file = row.file.decode(errors="replace")
    fields: dict[str, Any] = {
        "file": file,
        "file_bytes": None if file.encode() == row.file else quote_from_bytes(row.file),
        "relative": row.relative.decode(errors="replace"),
        "sha256": row.sha256,
        "model": run.model,
        "detector": run.detector,
        "contract": run.contract,
        "scheme": run.scheme,
    }
    if row.problem is not None:
        fields["problem"] = row.problem.model_dump(include={"type", "title", "status", "detail", "field"})
    if row.size is not None and row.faces is not None:
        fields["image"] = row.size.model_dump()
        fields["faces"] = _faces(row.faces)
    return fields


def _faces(faces: Faces) -> list[dict[str, Any]]:
    """Return the faces as they are computed, in float32; the responses of the service round them."""
    rotations = [0] * len(faces) if faces.rotations is None else faces.rotations.tolist()
    rows: list[dict[str, Any]] = [
        {
            "box": dict(zip(Box.model_fields, box, strict=True)),
            "score": score,
            "keypoints": dict(zip(FIVE, points, strict=True)),
            "rotation": rotation,
        }
        for box, score, points, rotation in zip(
            faces.boxes.tolist(), faces.scores.tolist(), faces.points.tolist(), rotations, strict=True
        )
    ]
    if faces.poses is not None:
        for row, pose in zip(rows, faces.poses.tolist(), strict=True):
            row["pose"] = dict(zip(Pose.model_fields, pose, strict=True))
    others = {"quality": faces.qualities, "landmarks": faces.landmarks, "embedding": faces.embeddings}
    for name, values in others.items():
        if values is not None:
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = value
    return rows
