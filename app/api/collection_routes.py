"""The routes for collections of the gallery: create, list, delete, purge, export and import them."""

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from io import BytesIO
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from app.api import openapi
from app.api.content_negotiation import JSON
from app.api.dependencies import (
    ContextDep,
    ServiceDep,
    json_only,
    known_parameters,
    not_cross_site,
    single_parameters,
    streaming,
)
from app.api.gallery_ids import CollectionName
from app.api.object_body import object_schema, read_object
from app.errors import TooManyBytes
from app.gallery import clock
from app.gallery.gallery import Gallery
from app.gallery.records import Collection
from app.service.create_collection import create_collection
from app.service.gallery_files import MEDIA_TYPE, export_lines, read_export
from app.service.gallery_requests import CollectionBody, PurgeQuery, check_collection_name
from app.service.gallery_responses import (
    CollectionInfo,
    CollectionsResponse,
    Erasing,
    ImportResponse,
    PurgeResponse,
)
from app.service.import_collection import import_collection as import_into
from app.service.operations import Operations

router = APIRouter(
    tags=["collections"],
    responses=openapi.GALLERY_PROBLEMS,
    dependencies=[Depends(not_cross_site), Depends(single_parameters), Depends(known_parameters)],
)

DELETED: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Erasing,
        "content": {JSON: {"example": Erasing().model_dump()}},
        "description": "It is deleted and found no more, but another process reads the file of the gallery, "
        "so that its bytes could not be erased yet.",
    },
    204: {
        "description": "It is deleted. If the gallery is a file, no byte of it is left in the files. If it "
        "is a database, its bytes stay in the files of the database until these are rewritten."
    },
}
"""The responses to a deletion."""

_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON lines: a header, a line per person with their faces, and a last line with the "
        "counts.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}

_IMPORT = {
    "requestBody": {
        "description": "JSON lines, as the export wrote them.",
        "required": True,
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}

_CHUNK_BYTES = 64 << 10


@router.put(
    "/collections/{collection}",
    summary="Create or read a collection",
    response_model=CollectionInfo,
    response_description="The collection existed.",
    responses={201: {"model": CollectionInfo, "description": "The collection was created."}},
    openapi_extra=object_schema(CollectionBody, {"model": "fused"}, required=False),
    dependencies=[Depends(json_only)],
)
async def put_collection(
    request: Request,
    collection: Annotated[
        str,
        PathParameter(
            description="Name of the collection: up to 64 letters, digits and the signs `.`, `_`, `-`."
        ),
    ],
    service: ServiceDep,
    context: ContextDep,
) -> Response:
    """Create a collection of people, or return the one that has this name.

    Its vectors are those of one embedder. It can be used as long as the service makes the same vectors.
    """
    check_collection_name(collection)
    body = await read_object(request, CollectionBody, optional=True)

    def work(operations: Operations) -> tuple[CollectionInfo, bool]:
        gallery = service.gallery
        found, is_new = create_collection(gallery, operations.analyzer, collection, body.model)
        return _info(gallery, found), is_new

    info, is_new = await service.run(context, work)
    return Response(info.model_dump_json(), 201 if is_new else 200, media_type=JSON)


@router.head("/collections", include_in_schema=False)
@router.get(
    "/collections",
    summary="List the collections",
    response_description="The collections.",
    dependencies=[Depends(json_only)],
)
async def list_collections(service: ServiceDep, context: ContextDep) -> CollectionsResponse:
    """Return all collections, by name."""

    def work(_: Operations) -> CollectionsResponse:
        gallery = service.gallery
        return CollectionsResponse(collections=[_info(gallery, one) for one in gallery.store.collections()])

    return await service.run(context, work)


@router.head("/collections/{collection}", include_in_schema=False)
@router.get(
    "/collections/{collection}",
    summary="Read a collection",
    response_description="The collection.",
    dependencies=[Depends(json_only)],
)
async def get_collection(
    collection: CollectionName, service: ServiceDep, context: ContextDep
) -> CollectionInfo:
    """Return a collection with the numbers of its people and faces."""

    def work(_: Operations) -> CollectionInfo:
        gallery = service.gallery
        return _info(gallery, gallery.store.collection(collection))

    return await service.run(context, work)


@router.delete(
    "/collections/{collection}",
    summary="Delete a collection",
    status_code=204,
    responses=DELETED,
)
async def delete_collection(collection: CollectionName, service: ServiceDep, context: ContextDep) -> Response:
    """Delete a collection with all its people and faces, and erase their bytes."""
    return deleted(await service.run(context, lambda _: service.gallery.delete_collection(collection)))


@router.post(
    "/collections/{collection}/purge",
    summary="Delete what has expired",
    response_description="What has expired.",
    dependencies=[Depends(json_only)],
)
async def purge(
    collection: CollectionName,
    query: Annotated[PurgeQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
) -> PurgeResponse:
    """Delete the people and faces of a collection whose time `expires` has passed, or only list them.

    The service does it by itself when it starts, and every second. Nothing that has expired is found.
    """

    def work(_: Operations) -> PurgeResponse:
        gallery = service.gallery
        found = gallery.expired(collection) if query.dry_run else gallery.purge(collection)
        return PurgeResponse(
            dry_run=query.dry_run,
            people=[person for one in found for person in one.people],
            faces=[face for one in found for face in one.faces],
        )

    return await service.run(context, work)


@router.get(
    "/collections/{collection}/export",
    summary="Export a collection",
    response_class=StreamingResponse,
    responses=_EXPORT,
    dependencies=[Depends(streaming, scope="request")],
)
async def export(collection: CollectionName, service: ServiceDep, context: ContextDep) -> Response:
    """Return all people of a collection with their faces and vectors, as JSON lines.

    A collection whose vectors cannot be compared any more can be exported too: its names and metadata serve
    to enrol the people again.
    """

    def work(_: Operations) -> tuple[Collection, Generator[bytes, None, None]]:
        gallery = service.gallery
        found = gallery.store.collection(collection)
        return found, export_lines(found, gallery.records(collection))

    found, lines = await service.run(context, work)
    return StreamingResponse(
        _in_chunks(lines),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{found.name}.jsonl"'},
    )


@router.post(
    "/collections/{collection}/import",
    summary="Import a collection",
    response_description="What was added.",
    openapi_extra=_IMPORT,
    dependencies=[Depends(json_only)],
)
async def import_collection(
    request: Request, collection: CollectionName, service: ServiceDep, context: ContextDep
) -> ImportResponse:
    """Add the people and faces of an export, all or none. Missing collections are created.

    Ids are kept. People and faces whose id exists are left out, so that an import can be repeated. The
    vectors of other models are refused.
    """
    limit = service.limits.import_bytes
    body = BytesIO()
    async for chunk in request.stream():
        body.write(chunk)
        if body.tell() > limit:
            raise TooManyBytes(
                f"The body exceeds the limit of {limit} bytes. Raise FACE_MAX_IMPORT_BYTES, or import it "
                "with `facet collections import`.",
                limit=limit,
            )

    def work(operations: Operations) -> ImportResponse:
        gallery = service.gallery
        body.seek(0)  # also if the job is started again
        content = read_export(body, clock.now())
        people, faces = import_into(gallery, operations.analyzer, collection, content)
        found = gallery.store.collection(collection)
        return ImportResponse(collection=_info(gallery, found), people=people, faces=faces)

    return await service.run(context, work, large=True)


def deleted(is_erased: bool) -> Response:
    """Return the response to a deletion.

    Args:
        is_erased: whether no byte is left.
    """
    if is_erased:
        return Response(status_code=204)
    return Response(Erasing().model_dump_json(), 202, media_type=JSON)


def _info(gallery: Gallery, collection: Collection) -> CollectionInfo:
    return CollectionInfo.of(collection, gallery.is_usable(collection))


async def _in_chunks(lines: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """Yield the lines in chunks of about 64 KiB. A thread reads them from the store.

    The lines are closed also if the client disconnects: an open export keeps deletions from being erased.
    """

    def chunks() -> Iterator[bytes]:
        chunk = bytearray()
        for line in lines:
            chunk += line
            if len(chunk) >= _CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk)

    with closing(lines):
        async for chunk in iterate_in_threadpool(chunks()):
            yield chunk
