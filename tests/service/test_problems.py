"""Errors of every origin are problems; the table of them is whole."""

import ast
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app import errors
from app.errors import FacetError
from app.main import create_app
from app.service import problems
from app.service.limits import Limits
from app.settings import Settings
from tests.api.pictures import picture, problem, sentence
from tests.fakes import fake_analyzer
from tests.servers import http, serving

LIMITS = Limits(image_bytes=10, image_pixels=20, faces=30, boxes=40)


def test_every_domain_error_has_its_kind() -> None:
    raised = {e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, FacetError)}
    assert raised - {errors.FacetError, errors.BadImage, errors.CannotStart} == set(problems.BY_ERROR)


def test_types_are_unique_and_statuses_are_errors() -> None:
    kinds = [*problems.BY_ERROR.values(), *problems.BY_STATUS.values()]
    assert len({kind.uri for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)
    assert all(kind.title and kind.about.endswith(".") for kind in kinds)


def test_an_error_of_no_known_kind_is_internal() -> None:
    assert problems.of_error(FacetError("x")).status == 500


def messages(path: Path) -> Iterator[str]:
    """Yield the literal details of domain errors in a source file, with `{}` for what is inserted."""
    names = {error.__name__ for error in problems.BY_ERROR}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            detail = node.args[0]
            parts = detail.values if isinstance(detail, ast.JoinedStr) else [detail]
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def test_every_detail_is_a_sentence() -> None:
    found = [text for path in Path("app").rglob("*.py") for text in messages(path)]
    details = [text for text in found if text != "{}"]
    assert len(details) > 40
    for detail in details:
        detail = detail.removesuffix(" {}")  # another sentence
        sentence(detail.replace("{}", "X") if detail.startswith("{}") else detail)


def test_limits_are_told() -> None:
    assert problems.of_error(errors.TooManyBytes("x", "image"), LIMITS).limit == 10
    assert problems.of_error(errors.TooManyBytes("x"), LIMITS).limit == 20  # of two together
    assert problems.of_error(errors.TooManyPixels("x", "image"), LIMITS).limit == 20


def test_known_names_are_told() -> None:
    told = problems.of_error(errors.UnknownModel("a", "embed", ["b", "c"]), LIMITS, "/embed")
    assert (told.field, told.known, told.instance) == ("model", ["b", "c"], "/embed")


@pytest.mark.parametrize(
    ("method", "address", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("POST", "/", 405, "method-not-allowed"),
        ("GET", "/detect", 405, "method-not-allowed"),
        ("DELETE", "/models", 405, "method-not-allowed"),
        ("GET", "/problems/none-such", 404, "not-found"),
        ("GET", "/docs/assets/none-such.js", 404, "not-found"),
    ],
)
def test_the_framework_s_errors(
    client: httpx.Client, method: str, address: str, status: int, kind: str
) -> None:
    response = client.request(method, address)
    body = problem(response, status, kind)
    assert address in body["detail"]
    if status == 405:
        assert response.headers["allow"]


def test_types_can_be_looked_up(client: httpx.Client) -> None:
    kind = problem(client.post("/detect", json={"image": "aGVsbG8="}), 422, "not-an-image", "image")
    about = client.get(kind["type"]).json()
    assert (about["type"], about["status"], about["title"]) == (kind["type"], 422, kind["title"])
    assert about["about"]


def test_an_unforeseen_error_tells_no_details(caplog: pytest.LogCaptureFixture) -> None:
    armed = False

    def defect() -> None:
        if armed:
            raise ZeroDivisionError("a secret")

    app = create_app(Settings(), fake_analyzer(defect))
    with serving(app) as url:
        armed = True
        logging.getLogger("uvicorn.error").addHandler(caplog.handler)
        response = http.post(f"{url}/detect", files={"image": picture()})
        assert "secret" not in str(problem(response, 500, "internal-error"))
        assert http.get(f"{url}/readyz").status_code == 200
        logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert "a secret" in caplog.text
