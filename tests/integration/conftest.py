"""Fixtures of tests with a real browser, and of the console."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from app.main import create_app
from app.settings import Settings
from tests.fakes import fake_analyzer
from tests.integration.browser import OpenPage, Pages, executable
from tests.servers import client_of, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window.

    It lives for one file: while Playwright runs, no test can start an event loop in the main thread.
    """
    path = executable()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages; see `OpenPage`. The test fails at its end if something was wrong with one of them."""
    pages = Pages(browser)
    yield pages.open
    pages.close()
    assert pages.complaints == []


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A service with fake nets and an empty gallery."""
    with serving(create_app(Settings(gallery=str(tmp_path / "gallery.db")), fake_analyzer())) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with client_of(url) as client:
        yield client
