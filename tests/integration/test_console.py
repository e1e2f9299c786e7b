"""The console in a real browser, against a service with fake nets."""

from typing import Literal

import pytest
from playwright.sync_api import Browser, Error, expect

from app.main import create_app
from app.settings import Settings
from tests.fakes import fake_analyzer
from tests.integration import browser as browsers
from tests.integration.browser import OpenPage, Pages, violations
from tests.proxies import proxy
from tests.servers import serving

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_example(
    fake_server: str, open_page: OpenPage, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    page = open_page(fake_server, size=size, scheme=scheme)
    assert violations(page) == []
    page.get_by_role("button", name="Try an example").click()
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_below_the_path_of_a_proxy(open_page: OpenPage) -> None:
    app = create_app(Settings(root_path="/facet"), fake_analyzer())
    with serving(app) as inner, proxy(inner, "/facet", True, {}) as outer:
        page = open_page(f"{outer}/")
        page.get_by_role("button", name="Try an example").click()
        expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
        page.context.close()


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("document.body.setAttribute('style', 'color: red')", "Content Security Policy directive 'style-src"),
        ("document.body.append(new Image()); document.images[0].src = 'http://localhost:9/'", "img-src"),
        ("fetch('http://localhost:9/').catch(() => 0)", "connect-src"),
        ("location.href = 'http://localhost:9/'", "request to another host: http://localhost:9/"),
        ("console.error('broken')", "error in the console: broken"),
        ("setTimeout(() => { throw Error('broken') })", "uncaught error: broken"),
    ],
)
def test_what_is_wrong_with_a_page_is_noticed(
    fake_server: str, browser: Browser, script: str, complaint: str
) -> None:
    pages = Pages(browser)
    page = pages.open(fake_server)
    assert pages.complaints == []
    page.evaluate(f"() => {{ {script} }}")
    page.wait_for_timeout(200)
    pages.close()
    assert pages.complaints
    assert complaint in str(pages.complaints)


def test_text_does_not_become_html(fake_server: str, open_page: OpenPage) -> None:
    page = open_page(fake_server, expected=("TrustedHTML",))
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>text</b>'")


def test_axe_finds_what_is_wrong(fake_server: str, open_page: OpenPage) -> None:
    page = open_page(fake_server)
    page.evaluate("document.body.append(document.createElement('button'))")
    (finding,) = violations(page)
    assert finding.startswith("button-name (critical)")


class TestExecutable:
    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.delenv(browsers.VARIABLE, raising=False)

    def test_without_a_browser_tests_are_skipped(self) -> None:
        with pytest.raises(pytest.skip.Exception, match="the package chromium"):
            browsers.executable()

    def test_but_fail_where_every_test_must_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="the package chromium"):
            browsers.executable()

    def test_the_variable_must_name_a_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(browsers.VARIABLE, "/nowhere/chromium")
        with pytest.raises(pytest.fail.Exception, match=f"{browsers.VARIABLE} names no program"):
            browsers.executable()
