"""The routes for the people of a collection and their faces, and for finding people in images."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api import openapi
from app.api.batch_body import read_images
from app.api.collection_routes import DELETED, deleted
from app.api.content_negotiation import JSON
from app.api.dependencies import (
    ContextDep,
    ServiceDep,
    json_only,
    known_parameters,
    not_cross_site,
    single_parameters,
    while_connected,
)
from app.api.each_image import run_each
from app.api.gallery_ids import CollectionName, FaceId, PersonId, checked_id, cursor_of, key_of
from app.api.object_body import object_schema, read_object
from app.api.problem_handlers import root_path
from app.api.request_body import read_image
from app.errors import BadParameter, UnknownId
from app.service.gallery_requests import (
    FacesQuery,
    IdentifyQuery,
    MergeBody,
    MoveBody,
    PeopleQuery,
    PersonBody,
    PersonVerifyQuery,
)
from app.service.gallery_responses import (
    FaceInfo,
    FacesAdded,
    FacesResponse,
    IdentifyResponse,
    PeopleResponse,
    PersonInfo,
    PersonVerifyResponse,
)
from app.service.operations import Operations

router = APIRouter(
    tags=["people"],
    responses=openapi.GALLERY_PROBLEMS,
    dependencies=[Depends(not_cross_site), Depends(single_parameters), Depends(known_parameters)],
)

_PEOPLE = "/collections/{collection}/people"
_PERSON = f"{_PEOPLE}/{{person}}"
_FACE = f"{_PERSON}/faces/{{face}}"

_EXAMPLE_ID = "0f3b6c0d9a4e4b6f8d2c1a7e5b9c3d21"


@router.post(
    _PEOPLE,
    summary="Add a person",
    status_code=201,
    response_model=PersonInfo,
    response_description="The person, who has no faces yet.",
    openapi_extra=object_schema(
        PersonBody, {"name": "Ada Lovelace", "external_id": "4711", "metadata": {"team": "engines"}}, False
    ),
    dependencies=[Depends(json_only)],
)
async def add_person(
    request: Request, collection: CollectionName, service: ServiceDep, context: ContextDep
) -> Response:
    """Add a person without faces to a collection. All fields are optional."""
    body = await read_object(request, PersonBody, optional=True)

    def work(_: Operations) -> PersonInfo:
        gallery = service.gallery
        gallery.usable(collection)
        return PersonInfo.of(gallery.add_person(collection, body.details()))

    person = await service.run(context, work)
    where = f"{root_path(request.scope)}/collections/{collection}/people/{person.id}"
    return Response(person.model_dump_json(), 201, {"Location": where}, JSON)


@router.head(_PEOPLE, include_in_schema=False)
@router.get(
    _PEOPLE,
    summary="List people",
    response_description="The people, and the cursor of the next ones.",
    dependencies=[Depends(json_only)],
)
async def list_people(
    collection: CollectionName,
    query: Annotated[PeopleQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
) -> PeopleResponse:
    """Return people of a collection, in the order in which they were created, `limit` at a time."""
    after = key_of(query.cursor)

    def work(_: Operations) -> PeopleResponse:
        found = service.gallery.store.people(
            collection, query.limit + 1, after, query.name, query.external_id
        )
        page, more = found[: query.limit], len(found) > query.limit
        return PeopleResponse(
            people=[PersonInfo.of(person) for person in page],
            cursor=cursor_of(page[-1].key) if more else None,
        )

    return await service.run(context, work)


@router.head(_PERSON, include_in_schema=False)
@router.get(
    _PERSON, summary="Read a person", response_description="The person.", dependencies=[Depends(json_only)]
)
async def get_person(
    collection: CollectionName, person: PersonId, service: ServiceDep, context: ContextDep
) -> PersonInfo:
    """Return a person."""
    return await service.run(
        context, lambda _: PersonInfo.of(service.gallery.store.person(collection, person))
    )


@router.patch(
    _PERSON,
    summary="Change a person",
    response_description="The changed person.",
    openapi_extra=object_schema(PersonBody, {"name": "Ada King", "metadata": None}),
    dependencies=[Depends(json_only)],
)
async def update_person(
    request: Request, collection: CollectionName, person: PersonId, service: ServiceDep, context: ContextDep
) -> PersonInfo:
    """Change the fields that are sent; a null removes the value. Metadata are replaced as a whole."""
    body = await read_object(request, PersonBody)
    return await service.run(
        context,
        lambda _: PersonInfo.of(service.gallery.update_person(collection, person, body.changes())),
    )


@router.delete(_PERSON, summary="Delete a person", status_code=204, responses=DELETED)
async def delete_person(
    collection: CollectionName, person: PersonId, service: ServiceDep, context: ContextDep
) -> Response:
    """Delete a person with all their faces, and erase their bytes."""
    return deleted(await service.run(context, lambda _: service.gallery.delete_person(collection, person)))


@router.post(
    f"{_PERSON}/merge",
    summary="Merge two people",
    response_description="The person who got the faces.",
    openapi_extra=object_schema(MergeBody, {"into": _EXAMPLE_ID}),
    dependencies=[Depends(json_only)],
)
async def merge_people(
    request: Request, collection: CollectionName, person: PersonId, service: ServiceDep, context: ContextDep
) -> PersonInfo:
    """Give all faces of the person to the one in `into`, and delete the person of the path."""
    body = await read_object(request, MergeBody)
    into = _other(body.into, person, "into")
    return await service.run(
        context, lambda _: PersonInfo.of(service.gallery.merge_people(collection, person, into))
    )


@router.post(
    f"{_PERSON}/faces",
    summary="Add faces to a person",
    response_model=FacesAdded,
    response_description="The stored face or the problem of each image.",
    openapi_extra=openapi.one_or_many_pictures(),
    dependencies=[Depends(json_only)],
)
async def add_faces(
    request: Request,
    collection: CollectionName,
    person: PersonId,
    query: Annotated[FacesQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
) -> Response:
    """Store the embedding of one face of each image: the largest one, or that in the given `box`.

    The images are not stored. An image without a usable face gets a problem in its place, and the others are
    stored. An exact or nearly exact copy of a face of the person is reported as `duplicate_of` and not stored
    again.
    """
    gallery = service.in_gallery
    uploads = await read_images(request, service.limits, tuple(FacesQuery.model_fields))

    def check(_: Operations) -> None:
        gallery.gallery.check_expiry(query.expires)
        gallery.gallery.usable(collection)
        gallery.gallery.store.person(collection, person)

    await service.run(context, check)
    return await run_each(
        request,
        service,
        context,
        uploads,
        lambda _, upload: gallery.add_face(upload, collection, person, query),
    )


@router.head(f"{_PERSON}/faces", include_in_schema=False)
@router.get(
    f"{_PERSON}/faces",
    summary="List the faces of a person",
    response_description="The faces.",
    dependencies=[Depends(json_only)],
)
async def list_faces(
    collection: CollectionName, person: PersonId, service: ServiceDep, context: ContextDep
) -> FacesResponse:
    """Return the faces of a person, in the order in which they were stored."""
    return await service.run(
        context,
        lambda _: FacesResponse(
            faces=[FaceInfo.of(face) for face in service.gallery.store.faces(collection, person)]
        ),
    )


@router.delete(_FACE, summary="Delete a face", status_code=204, responses=DELETED)
async def delete_face(
    collection: CollectionName, person: PersonId, face: FaceId, service: ServiceDep, context: ContextDep
) -> Response:
    """Delete a face, and erase its bytes."""
    return deleted(
        await service.run(context, lambda _: service.gallery.delete_face(collection, person, face))
    )


@router.post(
    f"{_FACE}/move",
    summary="Move a face to another person",
    response_description="The face.",
    openapi_extra=object_schema(MoveBody, {"person": _EXAMPLE_ID}),
    dependencies=[Depends(json_only)],
)
async def move_face(
    request: Request,
    collection: CollectionName,
    person: PersonId,
    face: FaceId,
    service: ServiceDep,
    context: ContextDep,
) -> FaceInfo:
    """Give a face to another person of the collection."""
    body = await read_object(request, MoveBody)
    to = _other(body.person, person, "person")
    return await service.run(
        context, lambda _: FaceInfo.of(service.gallery.move_face(collection, person, face, to))
    )


@router.post(
    "/collections/{collection}/identify",
    summary="Identify faces",
    response_model=IdentifyResponse,
    response_description="The faces of the image, and who they are.",
    openapi_extra=openapi.one_picture(),
    dependencies=[Depends(json_only)],
)
async def identify(
    request: Request,
    collection: CollectionName,
    query: Annotated[IdentifyQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
) -> Response:
    """Return who each face of an image is, or null for a face that is nobody of the collection.

    The threshold grows with the number of faces, so that `fpir` is kept.
    """
    gallery = service.in_gallery
    query.detection().options(service.limits.faces)
    parameters = tuple(IdentifyQuery.model_fields)
    upload = await read_image(request, service.limits, parameters=parameters, has_batch=False)
    work = service.run(context, lambda _: gallery.identify(upload, collection, query).response)
    return Response((await while_connected(request, work)).model_dump_json(), media_type=JSON)


@router.post(
    f"{_PERSON}/verify",
    summary="Compare a face with a person",
    response_model=PersonVerifyResponse,
    response_description="The similarity to the person, and whether it reaches the threshold.",
    openapi_extra=openapi.one_picture(),
    dependencies=[Depends(json_only)],
)
async def verify(
    request: Request,
    collection: CollectionName,
    person: PersonId,
    query: Annotated[PersonVerifyQuery, Query()],
    service: ServiceDep,
    context: ContextDep,
) -> Response:
    """Return whether the largest face of an image is a person's, by the person's most similar face."""
    gallery = service.in_gallery
    parameters = tuple(PersonVerifyQuery.model_fields)
    upload = await read_image(request, service.limits, parameters=parameters, has_batch=False)
    work = service.run(context, lambda _: gallery.verify(upload, collection, person, query))
    return Response((await while_connected(request, work)).model_dump_json(), media_type=JSON)


def _other(text: str, person: str, field: str) -> str:
    """Return the id of another person that a body names.

    Raises:
        UnknownId: no person can have this id.
        BadParameter: it is the same person.
    """
    try:
        other = checked_id("person", text)
    except UnknownId as error:
        raise UnknownId(error.detail, field) from None
    if other == person:
        raise BadParameter(f"The field {field} names the same person. Name another one.", field)
    return other
