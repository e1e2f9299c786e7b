"""The console for the browser: its page, its modules and styles, and an example image."""

import os
from functools import cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

from app.api.openapi import EXAMPLE_PICTURE
from app.api.problem_handlers import root_path
from app.api.security_headers import console_policy

CONSOLE = Path(__file__).parent / "console"
"""The folder with the files of the console."""

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Media types of the files below `/console/`, by suffix. Other files are not served there.

They do not come from the module `mimetypes`, which reads the database of the host: a browser runs no module
of another type than JavaScript.
"""

router = APIRouter()


class ConsoleFiles(StaticFiles):
    """The files below `/console/`. A browser asks on each use whether they are still valid.

    Otherwise a browser could combine cached modules of one version with new modules of another one.
    """

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file, or 304 if the browser has it."""
        media_type = MEDIA_TYPES.get(Path(full_path).suffix)
        if media_type is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "no-cache"}
        file = FileResponse(full_path, status_code, headers, media_type, stat_result=stat_result)
        if self.is_not_modified(file.headers, Headers(scope=scope)):
            return NotModifiedResponse(file.headers)
        return file


@router.head("/", include_in_schema=False)
@router.get("/", include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """Return the page of the console."""
    root, html = root_path(request.scope), _page()
    if root:
        html = html.replace("<head>", f'<head>\n<base href="{escape(root)}/">', 1)
    return HTMLResponse(html, headers={"Content-Security-Policy": console_policy(base=bool(root))})


@router.head("/example.jpg", include_in_schema=False)
@router.get("/example.jpg", include_in_schema=False)
async def example() -> FileResponse:
    """Return the image that the console and the OpenAPI examples use."""
    return FileResponse(EXAMPLE_PICTURE, media_type="image/jpeg")


def mount(app: FastAPI) -> None:
    """Add the files of the console to the application, below `/console/`."""
    app.mount("/console", ConsoleFiles(directory=CONSOLE), name="console")


@cache
def _page() -> str:
    return (CONSOLE / "index.html").read_text(encoding="utf-8")
