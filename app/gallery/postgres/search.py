"""Search of vectors in the database: by an approximate index (HNSW), or exactly for small collections.

The index has half-precision vectors. The faces that it finds are ordered by the products of the stored
float32 vectors, so that a similarity does not depend on the kind of search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.errors import GalleryUnavailable
from app.gallery.index import FACES_PER_PERSON, FIRST_COUNT, GROWTH, Match, best_people
from app.gallery.postgres.queries import Connection, rows
from app.gallery.postgres.schema import INDEXES_WITHOUT_STATISTICS
from app.gallery.postgres.values import pack_vector, unpack_vectors
from app.gallery.records import Collection

INDEX_COMMAND = "python -m app.gallery.postgres index"
"""The command that makes the indexes of a gallery that has faces."""

_SMALL_SHARE = 50
"""A collection with less than this part of all faces is searched exactly: HNSW filters after its scan."""
_QUICK_BUILD = 5_000
"""Maximum number of faces for which an index is made within a request."""


@dataclass(frozen=True)
class StoreSearch:
    """How vectors are searched in the database.

    Attributes:
        ef_search: size of the candidate list of HNSW: a greater one finds more, and takes longer.
        exact_up_to: collections up to this number of faces are searched exactly; None for all.
    """

    ef_search: int = 200
    exact_up_to: int | None = 10_000

    @property
    def settings(self) -> str:
        """Settings of each transaction, in SQL."""
        return f"SET LOCAL hnsw.ef_search = {self.ef_search}; SET LOCAL hnsw.iterative_scan = strict_order"

    def add_dimension(self, connection: Connection, dimension: int) -> None:
        """Make the index for vectors of a length, unless there are many already."""
        if self.exact_up_to is not None and _faces(connection, dimension) <= _QUICK_BUILD:
            connection.execute(index_sql(dimension))
            connection.execute(INDEXES_WITHOUT_STATISTICS)

    def search(
        self,
        connection: Connection,
        collection: Collection,
        probes: Float32[ndarray, "n d"],
        top: int,
        hidden: Sequence[int] = (),
    ) -> list[list[Match]]:
        """Return the most similar people of each probe. See `PostgresStore.search`.

        Raises:
            GalleryUnavailable: the collection is large, and there is no index.
        """
        share = _faces(connection, collection.dimension) / _SMALL_SHARE
        if self.exact_up_to is None or collection.faces <= max(self.exact_up_to, share):
            order = "vector <#> %s::vector"
        else:
            _require_index(connection, collection.dimension)
            half = f"halfvec({collection.dimension})"
            order = f"vector::{half} <=> (%s::vector)::{half}"
        return [_best(connection, collection, probe, top, _Choice(order, hidden)) for probe in probes]


def index_name(dimension: int) -> str:
    """Return the name of the index for vectors of a length."""
    return f"faces_hnsw_{dimension}"


def index_sql(dimension: int, how: str = "") -> str:
    """Return the statement that makes the index for vectors of a length.

    Args:
        dimension: the length.
        how: `CONCURRENTLY`, or nothing.
    """
    return (
        f"CREATE INDEX {how} IF NOT EXISTS {index_name(dimension)} ON facet.faces USING hnsw "
        f"((vector::halfvec({dimension})) halfvec_cosine_ops) WHERE vector_dims(vector) = {dimension}"
    )


class _Choice(NamedTuple):
    """How faces are chosen: their order in SQL, and the keys of those that are not."""

    order: str
    hidden: Sequence[int]


def _best(
    connection: Connection, collection: Collection, probe: Float32[ndarray, " d"], top: int, choice: _Choice
) -> list[Match]:
    query = f"""
        SELECT key, person, vector FROM faces
        WHERE collection = %s AND vector_dims(vector) = {collection.dimension} AND key <> ALL(%s)
        ORDER BY {choice.order} LIMIT %s
    """
    hidden = list(choice.hidden)
    count = FIRST_COUNT
    while count < FACES_PER_PERSON * top:
        count *= 2
    while True:
        found: list[tuple[Any, ...]] = rows(
            connection, query, collection.key, hidden, pack_vector(probe), count
        )
        vectors = unpack_vectors([row[2] for row in found], collection.dimension).astype(np.float64)
        keys = np.array([row[:2] for row in found], np.int64).reshape(-1, 2)
        people, faces, best = best_people(keys, vectors @ probe.astype(np.float64), top)
        if len(best) == top or len(found) < count:
            matches = zip(people.tolist(), faces.tolist(), best.clip(-1, 1).tolist(), strict=True)
            return [Match(*match) for match in matches]
        count *= GROWTH


def _faces(connection: Connection, dimension: int) -> int:
    query = "SELECT coalesce(sum(faces), 0)::bigint FROM collections WHERE dimension = %s"
    ((faces,),) = rows(connection, query, dimension)
    return int(faces)


def _require_index(connection: Connection, dimension: int) -> None:
    """Check that there is an index, and let the planner use it in this transaction.

    Raises:
        GalleryUnavailable: there is none, or it is being made.
    """
    found = rows(
        connection,
        "SELECT indisvalid, set_config('enable_sort', 'off', true) FROM pg_index "
        "WHERE indexrelid = to_regclass(%s)",
        f"facet.{index_name(dimension)}",
    )
    if not found or not found[0][0]:
        raise GalleryUnavailable(
            f"The database has no complete index for vectors of {dimension} numbers, which "
            f"FACE_GALLERY_SEARCH=hnsw needs. Make it with `{INDEX_COMMAND}`."
        )
