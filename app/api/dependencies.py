"""Dependencies of the routes: the service, the context of the request, and the media type of the response.

All are `async`, because FastAPI runs a plain function in a thread: a health check would then wait for a free
thread under load.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from operator import itemgetter
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from app.api.content_negotiation import JPEG, JSON, PNG, negotiate
from app.errors import BadParameter, CrossSite
from app.runtime.request_context import RequestContext
from app.service.face_service import FaceService

T = TypeVar("T")


async def get_service(request: Request) -> FaceService:
    """Return the running service. It may not be ready yet."""
    service: FaceService = request.app.state.service
    return service


async def get_context(service: Annotated[FaceService, Depends(get_service)]) -> AsyncIterator[RequestContext]:
    """Admit the request before its body is read, and release its slot after the response.

    Yields:
        The context of the request.

    Raises:
        NotReady: the service is starting or stopping.
        Overloaded: all slots are occupied.
    """
    context = service.admit()
    try:
        yield context
    finally:
        service.admission.release(context)


async def streaming(service: Annotated[FaceService, Depends(get_service)]) -> AsyncIterator[None]:
    """Admit a response that is read from the gallery while it is sent, until it ends in any way.

    Yields:
        None.
    """
    with service.admission.streaming():
        yield


async def single_parameters(request: Request) -> None:
    """Check that no query parameter was sent more than once: the last one would replace the others.

    Raises:
        BadParameter: a parameter was sent several times.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    name, times = max(counts.items(), key=itemgetter(1), default=("", 0))
    if times > 1:
        shown = name[:80]
        raise BadParameter(f"The query parameter {shown!r} was sent {times} times. Send it once.", shown)


async def known_parameters(request: Request) -> None:
    """Check that a route without query parameters gets none. The other routes check the names themselves.

    Raises:
        BadParameter: a parameter was sent.
    """
    route = request.scope["route"]
    if isinstance(route, APIRoute) and not route.dependant.query_params:
        for name in request.query_params:
            shown = name[:80]
            raise BadParameter(
                f"The query parameter {shown!r} is unknown. This route takes none: leave it out.", shown
            )


async def not_cross_site(request: Request) -> None:
    """Check that no web page of another host sends a request that could change something.

    A browser sends some requests of such a page without asking the service. The page cannot read the
    responses, but the service would do what they ask. With API keys they are refused for want of a key.

    Raises:
        CrossSite: a page of another host sends the request, and the service has no API keys.
    """
    if request.method in ("GET", "HEAD") or request.app.state.keys:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:  # an old browser, or a host that it does not trust
        is_own = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    else:
        is_own = site in (None, "none", "same-origin")
    if not is_own:
        raise CrossSite(
            "A browser sends this request for a page of another host. Send it from a page of this service or "
            "from a program, or set API keys."
        )


async def json_or_picture(request: Request) -> str:
    """Return the media type of the response of a route that can also draw its result.

    Raises:
        HTTPException: 406, if the request accepts neither JSON nor PNG nor JPEG.
    """
    return negotiate(request.headers, (JSON, PNG, JPEG))


async def json_only(request: Request) -> None:
    """Check that the request accepts JSON.

    Raises:
        HTTPException: 406, if it does not.
    """
    negotiate(request.headers, (JSON,))


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work, which is cancelled if the client disconnects.

    Args:
        request: the request, whose body has been read.
        work: the work. Its errors are passed on.

    Raises:
        ClientDisconnect: the client disconnected.
    """
    task = asyncio.ensure_future(work)
    disconnection = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, disconnection), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        disconnection.cancel()
        await asyncio.gather(task, disconnection, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


ServiceDep = Annotated[FaceService, Depends(get_service)]
ContextDep = Annotated[RequestContext, Depends(get_context, scope="function")]
MediaDep = Annotated[str, Depends(json_or_picture)]
