"""Operations on the collections of the gallery."""

from __future__ import annotations

from facet_client.calls import Call, Download, Retry, json_of, no_content
from facet_client.models.gallery import (
    CollectionInfo,
    CollectionsResponse,
    ExportSummary,
    ImportResponse,
    PurgeResponse,
)
from facet_client.operations.operation import operation
from facet_client.transfers import ExportFile, File, check_target, chunks_of

_COLLECTION = "/collections/{collection}"
_JSON_LINES = "application/x-ndjson"


class CollectionOperations:
    """Collections of people, their export and import."""

    @operation(f"PUT {_COLLECTION}")
    def create_collection(self, collection: str, *, model: str | None = None) -> Call[CollectionInfo]:
        """Create a collection of people, or return the one that has this name.

        Args:
            collection: name of the collection: up to 64 letters, digits and the signs `.`, `_`, `-`.
            model: name of the embedder; None for the default one. An existing collection keeps its model.

        Returns:
            The collection.
        """
        body = {} if model is None else {"model": model}
        return Call(json_of(CollectionInfo), path={"collection": collection}, body=body)

    @operation("GET /collections")
    def list_collections(self) -> Call[CollectionsResponse]:
        """Return all collections, by name.

        Returns:
            The collections.
        """
        return Call(json_of(CollectionsResponse), retry=Retry.ALWAYS)

    @operation(f"GET {_COLLECTION}")
    def get_collection(self, collection: str) -> Call[CollectionInfo]:
        """Return a collection with the numbers of its people and faces.

        Args:
            collection: name of the collection.

        Returns:
            The collection.
        """
        return Call(json_of(CollectionInfo), path={"collection": collection}, retry=Retry.ALWAYS)

    @operation(f"DELETE {_COLLECTION}")
    def delete_collection(self, collection: str) -> Call[bool]:
        """Delete a collection with all its people and faces, and erase their bytes.

        Args:
            collection: name of the collection.

        Returns:
            Whether no byte is left. False: it is deleted, and the service still erases the bytes.
        """
        return Call(no_content, path={"collection": collection})

    @operation(f"POST {_COLLECTION}/purge")
    def purge(self, collection: str, *, dry_run: bool = False) -> Call[PurgeResponse]:
        """Delete the people and faces of a collection whose time `expires` has passed, or only list them.

        Args:
            collection: name of the collection.
            dry_run: whether to list them without deleting them.

        Returns:
            The ids of the people and faces.
        """
        # The answer can be so large that it is refused with `overloaded` after the purge.
        retry = Retry.ALWAYS if dry_run else Retry.NEVER
        return Call(
            json_of(PurgeResponse), path={"collection": collection}, query={"dry_run": dry_run}, retry=retry
        )

    @operation(f"GET {_COLLECTION}/export")
    def export_collection(self, collection: str, target: File) -> Call[ExportSummary]:
        """Write all people of a collection with their faces and vectors to a file, as JSON lines.

        Args:
            collection: name of the collection.
            target: path of the file, or a binary file object. A file at the path is replaced only by a
                complete export, and anything else there is an error. Others than its owner cannot read the
                file, because it has biometric data.

        Returns:
            The numbers of people and faces in the file.
        """
        check_target(target)
        return Call(
            Download(lambda: ExportFile(target)),
            path={"collection": collection},
            accept=_JSON_LINES,
            retry=Retry.ALWAYS,
        )

    @operation(f"POST {_COLLECTION}/import")
    def import_collection(self, collection: str, source: File) -> Call[ImportResponse]:
        """Add the people and faces of an export, all or none. A missing collection is created.

        Args:
            collection: name of the collection.
            source: path of the export, or a binary file object.

        Returns:
            The collection, and the numbers of people and faces that were added.
        """
        chunks, retry = chunks_of(source)
        return Call(
            json_of(ImportResponse),
            path={"collection": collection},
            chunks=chunks,
            content_type=_JSON_LINES,
            retry=retry,
        )
