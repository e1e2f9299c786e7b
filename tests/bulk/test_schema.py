"""The rows of `facet bulk` against the responses of the same images."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from pyarrow import parquet

from app.bulk.schema import ImageRow, parquet_of
from app.pipeline.analyzer import Analyzer
from app.service.image_tasks import OPERATIONS, ImageTask
from app.service.operations import Operations
from app.service.requests import DetectQuery
from app.service.upload import Upload
from tests.bulk.clusters import LIMITS, LocalCluster, describe, photo, rows, run
from tests.service.file_trees import INVALID_NAME

PHOTOS = Path("tests/photos")


def rounded(value: Any, decimals: int) -> Any:
    """Return values of a row as a response has them: float32 as float64, rounded."""
    return np.array(value, np.float32).astype(np.float64).round(decimals).tolist()


def as_response(face: dict[str, Any]) -> dict[str, Any]:
    """Return the face of a row as the face of a response."""
    out: dict[str, Any] = {"score": face["score"], "rotation": face["rotation"]}
    for name in ("box", "keypoints", "pose"):
        if name in face:
            out[name] = {key: rounded(value, 3) for key, value in face[name].items()}
    for name, decimals in (("quality", 3), ("landmarks", 3), ("embedding", 8)):
        if name in face:
            out[name] = rounded(face[name], decimals)
    return out


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("detect", {}),
        ("detect", {"pose": True, "quality": True, "max_faces": 1}),
        ("landmarks", {}),
        ("landmarks", {"model": "landmarks15"}),
        ("embed", {"quality": True}),
        ("embed", {"model": "sface", "min_face_size": 40}),
    ],
)
def test_rows_are_the_responses(
    task: ImageTask, options: dict[str, Any], analyzer: Analyzer, tmp_path: Path
) -> None:
    description = describe(task, analyzer, **options)
    cluster = LocalCluster(lambda: analyzer)
    assert run([PHOTOS], tmp_path / "out", cluster, description) is False  # two photos exceed the limits
    found = rows(tmp_path / "out")
    assert len(found) == 5
    operations = Operations(analyzer, LIMITS)
    for row in found:
        if row["problem"] is not None:
            assert row["problem"]["type"] == "/problems/too-many-bytes"
            continue
        query = DetectQuery.model_validate(options)
        upload = Upload(Path(row["file"]).read_bytes())
        response = OPERATIONS[task](operations, upload, query).response.model_dump(mode="json")
        assert row["image"] == response["image"]
        assert [as_response(face) for face in row["faces"]] == response["faces"]
        assert row["model"] == response["model"]
        assert row["detector"] == response.get("detector", row["model"])
        assert row["scheme"] == response.get("scheme")
        assert (row["contract"] is None) == (task != "embed")
    assert sum(bool(row["faces"]) for row in found) >= 2


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    path = photo(tmp_path / "in" / INVALID_NAME)
    run([tmp_path / "in"], tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert "\ufffd" in row["file"]
    assert unquote_to_bytes(row["file_bytes"]) == os.fsencode(path)


def test_a_part_without_faces_has_the_same_schema(tmp_path: Path) -> None:
    description = describe("embed")
    schemas = []
    for images in ([], [ImageRow(b"a.jpg", b"a.jpg")]):
        (tmp_path / "part").write_bytes(parquet_of(images, description))
        schemas.append(parquet.read_schema(tmp_path / "part"))
    assert schemas[0].equals(schemas[1], check_metadata=True)
    face = schemas[0].field("faces").type.value_type
    assert str(face.field("embedding").type).startswith("fixed_size_list<")
    assert face.field("embedding").type.list_size == description.dimension
    assert schemas[0].metadata[b"facet.format"] == b"1"
