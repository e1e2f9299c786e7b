"""The route that finds which faces of many images are of one person."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.api import openapi
from app.api.batch_body import read_batch
from app.api.content_negotiation import JSON
from app.api.dependencies import ContextDep, ServiceDep, json_only, single_parameters, while_connected
from app.api.each_image import map_each
from app.service.cluster_images import ClusterQuery, ClusterResponse, ClusterRun

router = APIRouter(
    tags=["batches"],
    responses=openapi.PROBLEMS,
    dependencies=[Depends(single_parameters), Depends(json_only)],
)


@router.post(
    "/cluster",
    summary="Find the faces of one person in many images",
    response_model=ClusterResponse,
    response_description="The faces of each image with their clusters, or its problem.",
    openapi_extra=openapi.many_pictures(),
)
async def cluster(
    request: Request, query: Annotated[ClusterQuery, Query()], service: ServiceDep, context: ContextDep
) -> Response:
    """Return the faces of many images, with one number for the faces of one person. Nothing is stored.

    Two faces of one image never have the same number. An image that fails gets a problem in its place.
    """
    limits = service.limits
    run = ClusterRun(service.operations, query, limits.cluster_faces)
    uploads = await read_batch(request, limits.of_clusters(), tuple(ClusterQuery.model_fields))
    context.deadline = time.monotonic() + limits.cluster_timeout_s
    results = await map_each(request, service, context, uploads, lambda _, upload: run.read(upload))
    run.check()
    context.check()
    work = service.run(context, lambda _: run.group(results, context.check).model_dump_json(), large=True)
    return Response(await while_connected(request, work), media_type=JSON)
