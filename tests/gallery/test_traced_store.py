from collections.abc import Iterator
from typing import cast

import pytest

from app.errors import UnknownId
from app.gallery.store import GalleryStore
from app.gallery.traced_store import traced
from app.runtime.spans import TRACER
from tests.fakes import FakeTracer


class Store:
    """A store with some of the methods."""

    def version(self) -> int:
        return 7

    def person(self, collection: str, person: str) -> str:
        if person == "nobody":
            raise UnknownId("There is no such person.", "person")
        return f"{collection}/{person}"

    def records(self, collection: str) -> Iterator[str]:
        yield collection


@pytest.fixture
def tracer() -> Iterator[FakeTracer]:
    found = FakeTracer()
    token = TRACER.set(found)
    yield found
    TRACER.reset(token)


STORE = traced(cast(GalleryStore, Store()))


def test_a_call_is_a_span_without_its_arguments(tracer: FakeTracer) -> None:
    assert STORE.person("staff", person="ada") == cast(object, "staff/ada")
    (span,) = tracer.spans
    assert (span.name, span.attributes, span.error) == ("store.person", {}, None)


def test_errors_are_passed_on(tracer: FakeTracer) -> None:
    with pytest.raises(UnknownId):
        STORE.person("staff", "nobody")
    assert tracer.spans[0].error == "UnknownId"


def test_what_is_fast_or_is_iterated_has_no_span(tracer: FakeTracer) -> None:
    assert STORE.version() == 7
    assert list(STORE.records("staff")) == cast(object, ["staff"])
    assert tracer.spans == []


def test_outside_of_a_request_there_is_none() -> None:
    assert STORE.person("staff", "ada") == cast(object, "staff/ada")
