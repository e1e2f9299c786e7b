"""What routes ask for by type: the service, ready or not, and the media type to answer with.

All `async`: FastAPI runs a plain function in a thread, and a probe would wait where all are taken.
"""

from typing import Annotated

from fastapi import Depends, Request

from app.api import accept
from app.api.service import Service


async def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def get_ready_service(service: Annotated[Service, Depends(get_service)]) -> Service:
    """Refuses before the body is read: NotReady while models load, Overloaded when no place is free."""
    _ = service.analyzer
    service.executor.ensure_room()
    return service


async def json_or_picture(request: Request) -> str:
    """The media type to answer with, where an answer can be drawn."""
    return accept.choose(request.headers, (accept.JSON, accept.PNG, accept.JPEG))


async def json_only(request: Request) -> None:
    """Refuses a request that does not accept JSON."""
    accept.choose(request.headers, (accept.JSON,))


ServiceDep = Annotated[Service, Depends(get_service)]
ReadyDep = Annotated[Service, Depends(get_ready_service)]
MediaDep = Annotated[str, Depends(json_or_picture)]
