"""Answers that are errors, and answers that are not of the service."""

import pickle

import pytest

from facet_client import (
    AccessDenied,
    BadImage,
    BadRequest,
    Conflict,
    ConnectionFailed,
    Facet,
    FacetError,
    NotFound,
    Problem,
    ProblemError,
    ServiceFault,
    Unavailable,
    UnexpectedAnswer,
    of_problem,
)
from tests.client.scripted import Scripted, problem, scripted


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (409, Conflict),
        (418, BadRequest),
        (422, BadRequest),
        (429, Unavailable),
        (500, ServiceFault),
        (502, Unavailable),
        (503, Unavailable),
        (599, ServiceFault),
    ],
)
def test_an_unknown_type_gets_the_family_of_its_status(status: int, kind: type[ProblemError]) -> None:
    error = of_problem(Problem(type="https://example.com/later", status=status, detail="It is new."))
    assert type(error) is kind
    assert isinstance(error, FacetError)
    assert (error.slug, str(error)) == ("later", f"later ({status}): It is new.")


def test_unknown_fields_of_a_problem_are_kept() -> None:
    answer = problem("too-many-pixels", 413, field="image_a", limit=50, retry_hint="smaller")
    with scripted([answer]) as (url, _), Facet(url) as facet, pytest.raises(BadImage) as caught:
        facet.verify(b"a", b"b")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.status, error.field, error.limit, error.request_id) == (413, "image_a", 50, "r1")
    assert error.problem.model_extra == {"retry_hint": "smaller"}
    assert error.problem == caught.value.problem


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b'{"error": "no"}', b'{"type": 1}', b"\xff"])
def test_an_error_of_a_proxy_has_the_family_of_its_status(content: bytes) -> None:
    with (
        scripted([Scripted(502, content)]) as (url, _),
        Facet(url) as facet,
        pytest.raises(Unavailable, match=r"/models has the status 502 and no problem of Facet") as caught,
    ):
        facet.models()
    assert (caught.value.title, caught.value.status) == ("Bad Gateway", 502)


def test_a_redirect_is_not_followed() -> None:
    answer = Scripted(307, headers={"Location": "https://example.com/livez"})
    with (
        scripted([answer]) as (url, received),
        Facet(url, api_key="k" * 20) as facet,
        pytest.raises(ProblemError, match=r"redirected to https://example\.com/livez"),
    ):
        facet.livez()
    assert len(received) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"models": [{}], "weights": "all"}'])
def test_an_answer_that_is_not_the_services_is_an_error(content: bytes) -> None:
    with (
        scripted([Scripted(content=content)]) as (url, _),
        Facet(url) as facet,
        pytest.raises(UnexpectedAnswer, match="The answer of /models is not a ModelsResponse"),
    ):
        facet.models()


def test_an_image_was_asked_for() -> None:
    with (
        scripted([Scripted(headers={"Content-Type": "text/html"})]) as (url, _),
        Facet(url) as facet,
        pytest.raises(UnexpectedAnswer, match="'text/html', but an image"),
    ):
        facet.draw_faces(b"image")


def test_an_answer_that_ends_early_is_an_error() -> None:
    with (
        scripted([Scripted(content=b'{"status": "ok"}', cut=True)]) as (url, _),
        Facet(url) as facet,
        pytest.raises(ConnectionFailed, match="/livez was not answered"),
    ):
        facet.livez()


def test_202_says_that_bytes_are_still_erased() -> None:
    answers = [Scripted(202, b'{"state": "erasing", "detail": "It is deleted."}'), Scripted(204, b"")]
    with scripted(answers) as (url, _), Facet(url) as facet:
        assert facet.delete_collection("c") is False
        assert facet.delete_face("c", "p", "f") is True
