"""Fixtures, and the check of every array's shape in `app.vision` and `app.pipeline` while tests run."""

from jaxtyping import install_import_hook

from tests import shapes

install_import_hook(["app.vision", "app.pipeline"], f"{shapes.__name__}.check")

# The hook must be there before anything of app.
from collections.abc import Iterator  # noqa: E402

import httpx  # noqa: E402
import pytest  # noqa: E402

from app.main import create_app, load_analyzer  # noqa: E402
from app.pipeline.analyzer import Analyzer  # noqa: E402
from app.settings import Settings  # noqa: E402
from tests.fakes import fake_analyzer  # noqa: E402
from tests.servers import serving  # noqa: E402


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """The analyzer with the models of this checkout, on the CPU."""
    return load_analyzer(Settings(device="cpu"))


@pytest.fixture(scope="session")
def server(analyzer: Analyzer) -> Iterator[str]:
    """The address of a service with the real models."""
    with serving(create_app(Settings(), analyzer)) as url:
        yield url


@pytest.fixture(scope="session")
def fake_server() -> Iterator[str]:
    """The address of a service whose nets are fakes, with low limits."""
    settings = Settings(max_image_bytes=200_000, max_image_pixels=600_000, max_boxes=4, max_faces_limit=50)
    with serving(create_app(settings, fake_analyzer())) as url:
        yield url


@pytest.fixture
def client(fake_server: str) -> Iterator[httpx.Client]:
    """A client of the service whose nets are fakes."""
    with httpx.Client(base_url=fake_server, timeout=30) as http:
        yield http


@pytest.fixture
def real(server: str) -> Iterator[httpx.Client]:
    """A client of the service with the real models."""
    with httpx.Client(base_url=server, timeout=60) as http:
        yield http
