"""What routes ask for by type: the service, ready or not, and the media type to answer with.

All `async`: FastAPI runs a plain function in a thread, and a probe would wait where all are taken.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.api import accept
from app.api.service import Service, Turn


async def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def get_turn(
    request: Request, service: Annotated[Service, Depends(get_service)]
) -> AsyncIterator[Turn]:
    """Admits the request before its body is read. Raises NotReady or Overloaded; the place is freed after."""
    turn = service.admit(request)
    try:
        yield turn
    finally:
        turn.leave()


async def json_or_picture(request: Request) -> str:
    """The media type to answer with, where an answer can be drawn."""
    return accept.choose(request.headers, (accept.JSON, accept.PNG, accept.JPEG))


async def json_only(request: Request) -> None:
    """Refuses a request that does not accept JSON."""
    accept.choose(request.headers, (accept.JSON,))


ServiceDep = Annotated[Service, Depends(get_service)]
TurnDep = Annotated[Turn, Depends(get_turn, scope="function")]
MediaDep = Annotated[str, Depends(json_or_picture)]
