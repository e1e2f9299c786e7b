"""Fixtures of tests with a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.integration.browser import OpenPage, Pages, executable


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
