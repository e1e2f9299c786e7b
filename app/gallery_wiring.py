"""Builds the gallery from settings, for the service and the command line."""

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
    """Return the gallery, whose file is opened by the first use; None if it is switched off.

    Args:
        settings: the settings.
        analyzer: the models, whose vectors the gallery has.
        telemetry: receives an event for every search and every change.
    """
    if _is_off(settings):
        return None
    search = SearchSession(next(iter(analyzer.models[0].sessions.values())).device, telemetry)
    cosine = [name for name, embedder in analyzer.embedders.items() if embedder.spec.metric == "cosine"]
    contracts = {name: contract_of(analyzer, name) for name in cosine}
    return _gallery(settings, lambda dimension: VectorIndex(dimension, search), contracts, telemetry)


def gallery_without_models(settings: Settings) -> Gallery:
    """Return the gallery, whose collections can be listed, exported and deleted, but not used otherwise.

    Raises:
        GalleryUnavailable: it is switched off.
    """
    if _is_off(settings):
        raise GalleryUnavailable(SWITCHED_OFF)
    return _gallery(settings, lambda dimension: VectorIndex(dimension, SearchSession(Device("cpu"))), {})


def _is_off(settings: Settings) -> bool:
    return settings.gallery.lower() == "off"


def _gallery(
    settings: Settings,
    new_index: Callable[[int], VectorIndex],
    contracts: Mapping[str, str],
    telemetry: Telemetry = NULL_TELEMETRY,
) -> Gallery:
    limits = records.Limits(people=settings.max_gallery_people, faces=settings.max_gallery_faces)

    def open_store() -> GalleryStore:
        try:
            store = SqliteStore(Path(settings.gallery), limits)
            return traced(store) if settings.otlp_endpoint else store
        except GalleryUnavailable as error:
            raise GalleryUnavailable(f"{error.detail} FACE_GALLERY names the file.") from error

    return Gallery(open_store, new_index, contracts, telemetry=telemetry)
