import json
import logging

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture, problem
from tests.api.test_request_body import connect, head
from tests.fakes import fake_analyzer
from tests.servers import http, serving, until


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "app.api.middleware.access_log")
    return caplog


def of(lines: pytest.LogCaptureFixture, path: str) -> logging.LogRecord:
    """The line about the address, which is written a little after the answer."""
    found: list[logging.LogRecord] = []

    def there() -> bool:
        found[:] = [line for line in lines.records if getattr(line, "path", None) == path]
        return bool(found)

    until(there)
    (line,) = found
    return line


class TestRequestId:
    @pytest.mark.parametrize("name", ["a", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 128, "A.b:c/d+e=_1"])
    def test_a_fit_one_is_echoed(self, client: httpx.Client, name: str) -> None:
        assert client.get("/livez", headers={"x-request-id": name}).headers["x-request-id"] == name

    @pytest.mark.parametrize("name", ["", "x" * 129, "a b", "ä", '"quoted"', "-", "a\tb", "{}"])
    def test_another_is_replaced(self, client: httpx.Client, name: str) -> None:
        sent = [(b"x-request-id", name.encode())]
        made = client.get("/livez", headers=sent).headers.get_list("x-request-id")
        assert len(made) == 1
        assert len(made[0]) == 32
        assert made[0] != name

    def test_two_are_replaced(self, client: httpx.Client) -> None:
        given = [("x-request-id", "one"), ("x-request-id", "two")]
        assert len(client.get("/livez", headers=given).headers["x-request-id"]) == 32

    def test_without_one_each_request_gets_its_own(self, client: httpx.Client) -> None:
        assert len({client.get("/livez").headers["x-request-id"] for _ in range(5)}) == 5

    @pytest.mark.parametrize("address", ["/nowhere", "/detect", "/docs/assets/none.js"])
    def test_errors_have_it_too(self, client: httpx.Client, address: str) -> None:
        assert client.get(address, headers={"x-request-id": "abc"}).headers["x-request-id"] == "abc"


class TestLine:
    def test_it_says_what_was_asked_and_answered(
        self, client: httpx.Client, lines: pytest.LogCaptureFixture
    ) -> None:
        client.post("/verify?far=0.001", files={"image_a": picture(), "image_b": picture(bright=False)})
        line = of(lines, "/verify")
        assert line.__dict__["method"] == "POST"
        assert line.__dict__["route"] == "/verify"
        assert line.__dict__["status"] == 422
        assert line.__dict__["problem"] == "no-face"
        assert line.__dict__["ms"] > 0
        assert line.getMessage().startswith("POST /verify 422 ")

    def test_it_has_neither_query_nor_body_nor_key(
        self, client: httpx.Client, lines: pytest.LogCaptureFixture
    ) -> None:
        client.post(
            "/embed?model=a-secret-query",
            json={"image": "YS1zZWNyZXQtYm9keQ=="},
            headers={"authorization": "Bearer a-secret-key", "cookie": "a-secret-cookie"},
        )
        assert of(lines, "/embed").__dict__["status"] == 422
        told = json.dumps([r.__dict__ for r in lines.records if r.name.startswith("app")], default=str)
        assert "secret" not in told
        assert "127.0.0.1" not in told

    def test_an_address_cannot_forge_a_line(
        self, client: httpx.Client, lines: pytest.LogCaptureFixture
    ) -> None:
        client.get("/a%0AINFO:%20forged%1b[31m")
        assert of(lines, "/a%0AINFO%3A%20forged%1B%5B31m").__dict__["route"] == "other"
        client.get("/" + "x" * 5000)
        assert of(lines, "/" + "x" * 199).__dict__["status"] == 404

    def test_a_client_that_goes_is_499(self, fake_server: str, lines: pytest.LogCaptureFixture) -> None:
        with connect(fake_server) as wire:
            wire.sendall(head("Content-Type: image/png", "Content-Length: 1000") + b"\x89PNG")
        assert of(lines, "/detect").__dict__["status"] in (400, 499)


def test_a_failure_is_logged_with_the_request_s_id_and_answered_carefully(
    caplog: pytest.LogCaptureFixture,
) -> None:
    armed = False

    def defect() -> None:
        if armed:
            raise ZeroDivisionError("inside")

    with serving(create_app(Settings(), fake_analyzer(defect))) as url:
        armed = True
        response = http.post(f"{url}/detect", files={"image": picture()}, headers={"x-request-id": "abc"})
    assert "inside" not in str(problem(response, 500, "internal-error"))
    assert response.headers["x-request-id"] == "abc"
    assert response.headers["x-content-type-options"] == "nosniff"
    (line,) = [r for r in caplog.records if r.name == "app.api.middleware.access_log" and r.exc_info]
    assert line.exc_info
    assert line.exc_info[0] is ZeroDivisionError
