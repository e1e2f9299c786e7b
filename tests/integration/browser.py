"""A real browser for tests of pages: the Chromium of the system, driven by Playwright."""

import os
import shutil
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

VARIABLE = "FACET_TEST_BROWSER"

NAMES = ("chromium", "chromium-browser", "google-chrome")

MISSING = (
    f"No browser was found: none of {', '.join(NAMES)} is on PATH. Install one (Debian: the package "
    f"chromium), or set {VARIABLE} to the path of Chromium or Chrome."
)


def executable() -> str:
    """Return the path of the browser. Without one the test is skipped, or fails if the variable CI is set."""
    named = os.environ.get(VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            pytest.fail(f"{VARIABLE} names no program: {named!r}. Set it to the path of Chromium or Chrome.")
        return path
    for name in NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


class OpenPage(Protocol):
    """The fixture `open_page`: opens a page of a service in a browser window of its own."""

    def __call__(
        self,
        url: str,
        *,
        size: tuple[int, int] = (1280, 800),
        scheme: Literal["light", "dark"] = "light",
        expected: tuple[str, ...] = (),
    ) -> Page:
        """Return the page, which has loaded.

        Args:
            url: the address of the page.
            size: width and height of the window in pixels.
            scheme: the colour scheme that the user prefers.
            expected: parts of the messages that do not make the test fail, for example `status of 401`.
        """


@dataclass
class Pages:
    """The pages that a test has opened, and what was wrong with them.

    Attributes:
        browser: the browser.
        complaints: errors in the console, which include violations of the Content-Security-Policy; errors
            that no script caught; requests to other hosts.
    """

    browser: Browser
    complaints: list[str] = field(default_factory=list)

    def open(
        self,
        url: str,
        *,
        size: tuple[int, int] = (1280, 800),
        scheme: Literal["light", "dark"] = "light",
        expected: tuple[str, ...] = (),
    ) -> Page:
        """Open a page; see `OpenPage`."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",
            service_workers="block",
        )
        page = context.new_page()
        own = (urljoin(url, "/"), "data:", "blob:")

        def complain(text: str) -> None:
            if not any(part in text for part in expected):
                self.complaints.append(text)

        def in_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                complain(f"error in the console: {message.text}")

        def requested(request: Request) -> None:
            if not request.url.startswith(own):
                complain(f"request to another host: {request.url}")

        page.on("console", in_console)
        page.on("pageerror", lambda error: complain(f"uncaught error: {error}"))
        page.on("request", requested)
        page.goto(url)
        return page

    def close(self) -> None:
        """Close all pages."""
        for context in self.browser.contexts:
            context.close()


def violations(page: Page) -> list[str]:
    """Return what axe finds serious or critical about the accessibility of a page as it is now."""
    found = Axe().run(page).response["violations"]
    return [
        f"{finding['id']} ({finding['impact']}): {finding['help']}: {node['target']}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
