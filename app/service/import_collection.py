"""Imports an export into a collection."""

from contextlib import suppress

from app.errors import BadParameter, FacetError, OtherEmbedding
from app.gallery.gallery import Gallery
from app.pipeline.analyzer import Analyzer
from app.runtime.timing import apart_from_request, check_request
from app.service.gallery_files import ExportedCollection


def import_collection(
    gallery: Gallery, analyzer: Analyzer, collection: str, export: ExportedCollection
) -> tuple[int, int]:
    """Add the people and faces of an export to a collection, all or none. A missing one is created.

    Args:
        gallery: the gallery.
        analyzer: the models.
        collection: name of the collection.
        export: the export.

    Returns:
        The numbers of people and faces that were stored.

    Raises:
        OtherEmbedding: the vectors of the export cannot be compared with those of the loaded embedder or of
            the collection.
        BadParameter: the export is damaged.
        DuplicateExternalId: another person of the collection has an external id of the export.
        GalleryLimit: there would be too many people or faces.
    """
    contract = gallery.contracts.get(export.model)
    if export.contract != contract:
        found = f"whose contract is {contract} here" if contract else "which is not loaded here"
        raise OtherEmbedding(
            f"The vectors of the export have the contract {export.contract} of the model {export.model}, "
            f"{found}. Import it into a service with the models that made it, or enrol the people again.",
            "body",
        )
    dimension = analyzer.embedder(export.model).spec.dimension
    if export.dimension != dimension:
        raise BadParameter(
            f"The export is damaged: its first line has the dimension {export.dimension}, but the vectors of "
            f"{export.model} have {dimension} numbers. Export it again.",
            "body",
        )
    check_request()
    with apart_from_request():  # a new collection is deleted again if the import is not made
        _, is_new = gallery.create_collection(collection, export.model, dimension)
    try:
        return gallery.import_records(gallery.usable(collection), export.records)
    except BaseException:
        with suppress(FacetError), apart_from_request():
            if is_new and gallery.store.collection(collection).people == 0:
                gallery.delete_collection(collection)
        raise
