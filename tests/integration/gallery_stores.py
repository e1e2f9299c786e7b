"""Stores by their address, for tests of both kinds."""

from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore

if find_spec("psycopg") is not None:
    from app.gallery.postgres import checks
    from app.gallery.postgres.connections import Connections
    from app.gallery.postgres_store import PostgresStore


def open_store(address: str) -> GalleryStore:
    """Open the store of a database or a file."""
    if address.startswith("postgresql://"):
        return PostgresStore(address)
    return SqliteStore(Path(address))


def problems(address: str) -> list[str]:
    """Return what is wrong with a store; nothing if it is intact."""
    if not address.startswith("postgresql://"):
        with closing(SqliteStore(Path(address))) as store:
            return store.check()
    with Connections(address).alone() as connection:
        return checks.problems(connection)
