"""A process that ended between a deletion and its erasure: the next one erases."""

from pathlib import Path

import numpy as np

from app.gallery.gallery import Gallery
from app.gallery.index import VectorIndex
from app.gallery.records import NewFace, PersonDetails
from app.gallery.sqlite_store import SqliteStore
from app.runtime.search_net import SearchSession
from tests.fakes import CPU

VECTOR = np.array([0.1, -0.7, 0.5, 0.5], np.float32)


def test_the_first_tick_erases_what_an_earlier_process_deleted(tmp_path: Path) -> None:
    file = tmp_path / "gallery.db"
    earlier = SqliteStore(file)  # stays open, as a process that was killed closes nothing
    earlier.create_collection("family", "fused", "fused-1", 4)
    person = earlier.add_person("family", PersonDetails())
    face = NewFace(VECTOR, (0, 0, 9, 9), 0.9, None, b"0" * 32)
    earlier.add_face("family", "fused-1", person.id, face, lambda faces, vectors: None)
    earlier.delete_person("family", person.id)
    assert VECTOR.tobytes() in content(tmp_path)

    search = SearchSession(CPU)
    gallery = Gallery(
        lambda: SqliteStore(file), lambda dimension: VectorIndex(dimension, search), {"fused": "fused-1"}
    )
    gallery.tick()
    assert VECTOR.tobytes() not in content(tmp_path)
    gallery.close()
    earlier.close()


def content(folder: Path) -> bytes:
    """The bytes of all files of a gallery."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
