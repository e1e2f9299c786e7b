"""Builds the gallery from settings, for the service and the command line."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from app.errors import GalleryUnavailable
from app.gallery import records
from app.gallery.contract import contract_of
from app.gallery.gallery import SWITCHED_OFF, Gallery
from app.gallery.index import VectorIndex
from app.gallery.sqlite_store import SqliteStore
from app.gallery.store import GalleryStore
from app.gallery.traced_store import traced
from app.pipeline.analyzer import Analyzer
from app.runtime.device import Device
from app.runtime.search_net import SearchSession
from app.runtime.telemetry import NULL_TELEMETRY, Telemetry
from app.settings import Settings


def gallery_of(
    settings: Settings, analyzer: Analyzer, telemetry: Telemetry = NULL_TELEMETRY
) -> Gallery | None:
    """Return the gallery, whose store is opened by the first use; None if it is switched off.

    Args:
        settings: the settings.
        analyzer: the models, whose vectors the gallery has.
        telemetry: receives an event for every search and every change.

    Raises:
        GalleryUnavailable: the gallery is in PostgreSQL, and its packages are missing or its address is
            malformed.
    """
    if settings.is_gallery_off:
        return None
    search = SearchSession(next(iter(analyzer.models[0].sessions.values())).device, telemetry)
    cosine = [name for name, embedder in analyzer.embedders.items() if embedder.spec.metric == "cosine"]
    contracts = {name: contract_of(analyzer, name) for name in cosine}
    return _gallery(settings, lambda dimension: VectorIndex(dimension, search), contracts, telemetry)


def gallery_without_models(settings: Settings) -> Gallery:
    """Return the gallery, whose collections can be listed, exported and deleted, but not used otherwise.

    Raises:
        GalleryUnavailable: it is switched off, or as in `gallery_of`.
    """
    if settings.is_gallery_off:
        raise GalleryUnavailable(SWITCHED_OFF)
    return _gallery(settings, lambda dimension: VectorIndex(dimension, SearchSession(Device("cpu"))), {})


def has_gallery(settings: Settings) -> bool:
    """Return whether there is a gallery, which may be empty. Opening a file that is missing creates it.

    A file that cannot be looked up counts as a gallery: opening it raises the error.
    """
    if settings.is_gallery_in_postgres:
        return True
    try:
        os.stat(settings.gallery)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return True


def _gallery(
    settings: Settings,
    new_index: Callable[[int], VectorIndex],
    contracts: Mapping[str, str],
    telemetry: Telemetry = NULL_TELEMETRY,
) -> Gallery:
    limits = records.Limits(people=settings.max_gallery_people, faces=settings.max_gallery_faces)
    if settings.is_gallery_in_postgres:
        store = _postgres_store(settings, limits)
        in_memory = settings.gallery_search == "memory"
        store = traced(store) if settings.otlp_endpoint else store
        return Gallery(lambda: store, new_index if in_memory else None, contracts, telemetry=telemetry)

    def open_store() -> GalleryStore:
        try:
            store = SqliteStore(Path(settings.gallery), limits)
            return traced(store) if settings.otlp_endpoint else store
        except GalleryUnavailable as error:
            raise GalleryUnavailable(f"{error.detail} FACE_GALLERY names the file.") from error

    return Gallery(open_store, new_index, contracts, telemetry=telemetry)


def _postgres_store(settings: Settings, limits: records.Limits) -> GalleryStore:
    """Return the store in PostgreSQL, whose packages are imported only here.

    Raises:
        GalleryUnavailable: they are missing, or the address is malformed.
    """
    try:
        from app.gallery.postgres.search import StoreSearch
        from app.gallery.postgres_store import PostgresStore
    except ImportError as error:
        raise GalleryUnavailable(
            "FACE_GALLERY names a PostgreSQL database, which needs the extra postgres. Install it: "
            f"make postgres, or pip install '.[postgres]' in the folder of Facet ({error})."
        ) from error
    search = {
        "memory": None,
        "hnsw": StoreSearch(settings.gallery_ef_search),
        "exact": StoreSearch(exact_up_to=None),
    }[settings.gallery_search]
    return PostgresStore(settings.gallery, limits, settings.gallery_connections, search)
