"""Both clients against the service with fake nets: each operation, its arguments and its errors."""

import asyncio
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from app.main import create_app
from app.settings import Settings
from facet_client import (
    AccessDenied,
    AsyncFacet,
    BadImage,
    BadRequest,
    Conflict,
    ConnectionFailed,
    Facet,
    NotFound,
    NoUsableFace,
    Problem,
    RequestTimeout,
    of_problem,
)
from facet_client.models import AddedFace, ClusteredImage, DetectResponse
from tests.api.pictures import picture, written
from tests.client.scripted import Scripted, scripted
from tests.fakes import fake_analyzer
from tests.servers import serving

KEY = "k" * 32


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service below a path, with an API key."""
    settings = Settings(
        gallery=str(tmp_path_factory.mktemp("gallery") / "gallery.db"), api_keys=KEY, root_path="/facet"
    )
    with serving(create_app(settings, fake_analyzer()), wait=False) as address:
        with Facet(f"{address}/facet/", api_key=KEY) as facet:
            facet.models()  # waits until the service is ready
        yield f"{address}/facet"


@pytest.fixture
def facet(url: str) -> Iterator[Facet]:
    with Facet(url, api_key=KEY) as client:
        yield client


@pytest.fixture
def collection(facet: Facet) -> str:
    """The name of a new collection."""
    return facet.create_collection(f"c{uuid.uuid4().hex[:8]}").name


def face(red: int, green: int = 0) -> bytes:
    """A picture whose largest face has this colour."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, :100] = red, green, 60
    return written(Pil.fromarray(pixels))


def test_faces_of_one_and_two_images(facet: Facet) -> None:
    found = facet.detect(picture(), min_face_size=40, threshold=0.5, max_faces=1, orientation="upright")
    assert [one.score for one in found.faces] == pytest.approx([0.99])
    box = found.faces[0].box
    assert (box.x1, box.y1, box.x2, box.y2) == (10, 12, 90, 108)
    assert found.timing_ms["total"] > 0
    assert len(facet.landmarks(picture(), boxes=[box, (120, 36, 180, 84)]).faces) == 2
    embedded = facet.embed(picture(), boxes=[(1, 2, 50, 60)], model="other-vectors")
    assert [tuple(one.box.model_dump().values()) for one in embedded.faces] == [(1, 2, 50, 60)]
    assert embedded.model == "other-vectors"
    assert len(embedded.faces[0].embedding) == embedded.dimension
    assert facet.verify(face(220), face(220)).verified
    assert facet.verify(face(220), face(220), threshold=0.5).far is None
    assert facet.detect(picture(bright=False)).faces == []


@pytest.mark.parametrize(("format", "name"), [("png", "PNG"), ("jpeg", "JPEG")])
def test_drawn_images(facet: Facet, format: Any, name: str) -> None:
    for drawn in (
        facet.draw_faces(picture(), format=format),
        facet.draw_landmarks(picture(), format=format, boxes=[(10, 10, 90, 90)]),
    ):
        image = Pil.open(io.BytesIO(drawn))
        assert (image.format, image.size) == (name, (200, 120))


def test_batches_have_a_result_or_a_problem_for_each_image(facet: Facet) -> None:
    for operation in (facet.detect_batch, facet.landmarks_batch, facet.embed_batch):
        first, second, third = operation(picture(), b"no image", picture(bright=False), max_faces=1).results
        assert not isinstance(first, Problem)
        assert len(first.faces) == 1
        assert isinstance(second, Problem)
        assert isinstance(of_problem(second), BadImage)
        assert not isinstance(third, Problem)
    with pytest.raises(ValueError, match="no image"):
        facet.detect_batch()


def test_the_gallery(facet: Facet, collection: str, tmp_path: Path) -> None:
    expires = datetime(2040, 1, 1, tzinfo=UTC)
    ada = facet.add_person(
        collection, name="Ada Lovelace", external_id="1", metadata={"a": [1]}, expires=expires
    )
    assert (ada.name, ada.metadata, ada.expires) == ("Ada Lovelace", {"a": [1]}, expires)
    grace = facet.add_person(collection)
    added = facet.add_faces(collection, ada.id, face(220), b"x", face(220), expires=expires, min_face_size=12)
    stored, refused, copy = added.results
    assert isinstance(stored, AddedFace)
    assert isinstance(copy, AddedFace)
    assert stored.face.expires == expires
    assert {stored.duplicate_of, copy.duplicate_of} == {None, stored.face.id}  # either is stored first
    assert isinstance(refused, Problem)
    assert refused.slug == "not-an-image"
    several = facet.add_faces(collection, ada.id, picture(), faces="one").results[0]
    assert isinstance(several, Problem)
    assert isinstance(of_problem(several), NoUsableFace)

    box = facet.detect(picture()).faces[1].box
    results = facet.add_faces(collection, grace.id, picture(), face(0, 220), boxes=[box, None]).results
    right, largest = (one.face.box for one in results if isinstance(one, AddedFace))
    assert (right, largest.x2 <= 100) == (box, True)
    (given,) = facet.add_faces(
        collection, grace.id, picture(), boxes=[(10, 12, 90, 108)], faces="one"
    ).results
    assert isinstance(given, AddedFace)
    assert (given.face.box.x1, given.duplicate_of) == (10, None)
    for one in facet.list_faces(collection, grace.id).faces:
        assert facet.delete_face(collection, grace.id, one.id)
    for boxes in ([], [None, None]):
        with pytest.raises(ValueError, match="for 1 images"):
            facet.add_faces(collection, grace.id, picture(), boxes=boxes)

    identified = facet.identify(collection, face(220), threshold=0.95, top=1, max_faces=1)
    assert identified.faces[0].person is not None
    assert identified.faces[0].person.name == "Ada Lovelace"
    assert len(identified.faces[0].candidates) == 1
    assert facet.identify(collection, face(220), fpir=0.001).fpir == 0.001
    compared = facet.verify_person(collection, ada.id, face(220), threshold=0.9)
    assert compared.verified
    assert compared.face_b.id == stored.face.id

    moved = facet.move_face(collection, ada.id, stored.face.id, to=grace.id)
    assert moved.person == grace.id
    assert [one.id for one in facet.list_faces(collection, grace.id).faces] == [stored.face.id]
    assert facet.merge_people(collection, grace.id, into=ada.id).faces == 1
    changed = facet.update_person(collection, ada.id, name="Ada King", metadata=None)
    assert (changed.name, changed.metadata, changed.external_id) == ("Ada King", None, "1")
    assert facet.get_person(collection, ada.id) == changed
    assert facet.purge(collection, dry_run=True).people == facet.purge(collection).people == []

    path = tmp_path / "family.jsonl"
    summary = facet.export_collection(collection, path)
    assert (summary.people, summary.faces) == (1, 1)
    copied = facet.import_collection(f"{collection}-copy", path)
    assert (copied.people, copied.faces) == (1, 1)
    assert facet.get_collection(f"{collection}-copy").faces == 1
    assert {one.name for one in facet.list_collections().collections} >= {collection, f"{collection}-copy"}
    assert facet.delete_face(collection, ada.id, stored.face.id) is True
    assert facet.delete_person(collection, ada.id) is True
    assert facet.delete_collection(collection) is True
    with pytest.raises(NotFound) as caught:
        facet.get_collection(collection)
    assert caught.value.field == "collection"


def test_people_of_all_pages(facet: Facet, collection: str) -> None:
    ids = [facet.add_person(collection, name=f"Person {number}").id for number in range(5)]
    assert [one.id for one in facet.people(collection, page_size=2)] == ids
    assert [one.id for one in facet.people(collection, name="son 3")] == [ids[3]]
    page = facet.list_people(collection, limit=2, external_id=None)
    assert [one.id for one in page.people] == ids[:2]


def test_the_service(facet: Facet) -> None:
    assert facet.livez().status == "ok"
    assert facet.readyz().status == "ready"
    assert facet.version().onnxruntime
    assert {one.task for one in facet.models().models} == {"detect", "landmarks", "embed"}
    assert "face_requests_total" in facet.metrics()
    assert facet.problem_type("no-face").status == 422


def test_the_errors_have_the_fields_of_the_problems(url: str, facet: Facet, collection: str) -> None:
    with pytest.raises(BadRequest, match="resnet") as unknown:
        facet.detect(picture(), model="resnet")
    assert (unknown.value.slug, unknown.value.field) == ("unknown-model", "model")
    assert unknown.value.known == ["detector"]
    assert unknown.value.type == "/facet/problems/unknown-model"
    assert unknown.value.instance == "/facet/detect"
    assert unknown.value.request_id
    with pytest.raises(BadImage) as text:
        facet.detect(b"text")
    assert text.value.status == 422
    with pytest.raises(NoUsableFace):
        facet.verify(picture(), picture(bright=False))
    facet.add_person(collection, external_id="7")
    with pytest.raises(Conflict):
        facet.add_person(collection, external_id="7")
    for key in (None, "wrong"):
        with Facet(url, api_key=key) as other, pytest.raises(AccessDenied) as denied:
            other.models()
        assert denied.value.status == 401


def test_a_misspelt_option_is_named_by_the_service(facet: Facet) -> None:
    with pytest.raises(BadRequest, match="min_face_size"):
        facet.detect(picture(), min_facesize=40)  # type: ignore[call-arg]


@pytest.mark.parametrize("person", ["", ".", "..", "a/b", "a%2Fb", "a?b", "a\\b", "é"])
def test_an_id_that_names_another_path_is_not_sent(facet: Facet, collection: str, person: str) -> None:
    with pytest.raises(ValueError, match="person"):
        facet.delete_person(collection, person)
    assert facet.get_collection(collection).people == 0


def test_a_time_needs_a_time_zone(facet: Facet, collection: str) -> None:
    for send in (
        lambda: facet.add_person(collection, expires=datetime(2040, 1, 1)),
        lambda: facet.add_faces(collection, "0" * 32, face(220), expires=datetime(2040, 1, 1)),
    ):
        with pytest.raises(ValueError, match="time zone"):
            send()


def test_the_asynchronous_client_has_the_same_operations(url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncFacet(url, api_key=KEY) as facet:
            one, other = await asyncio.gather(facet.detect(picture()), facet.detect_batch(picture(), b"x"))
            assert len(one.faces) == 2
            assert isinstance(other.results[0], DetectResponse)
            assert (await facet.draw_faces(picture())).startswith(b"\x89PNG")
            name = (await facet.create_collection(f"c{uuid.uuid4().hex[:8]}")).name
            ids = [(await facet.add_person(name, name="A")).id for _ in range(3)]
            await facet.add_faces(name, ids[0], face(220))
            assert [one.id async for one in facet.people(name, page_size=2)] == ids
            path = tmp_path / "a.jsonl"
            assert (await facet.export_collection(name, path)).people == 3
            assert (await facet.import_collection(f"{name}-copy", path)).people == 3
            with path.open("rb") as file:
                assert (await facet.import_collection(f"{name}-copy", file)).people == 0
            with pytest.raises(NotFound):
                await facet.get_person(name, "0" * 32)
            assert await facet.delete_collection(name) is True

    asyncio.run(main())


def test_connections_are_used_again() -> None:
    answer = Scripted(content=b'{"status": "ok"}')
    with scripted([answer] * 6) as (url, received):
        with Facet(url) as facet:
            assert [facet.livez().status for _ in range(3)] == ["ok"] * 3

        async def main() -> None:
            async with AsyncFacet(url) as facet:
                for _ in range(3):
                    await facet.livez()

        asyncio.run(main())
    ports = [one.port for one in received]
    assert ports[0] == ports[2]
    assert ports[3] == ports[5] != ports[0]


def test_what_is_sent() -> None:
    with (
        scripted([Scripted(content=b'{"status": "ok"}')]) as (url, received),
        Facet(f"{url}/facet/", api_key="secret-key") as facet,
    ):
        facet.livez()
    assert received[0].line == "GET /facet/livez HTTP/1.1"
    assert received[0].headers["X-API-Key"] == "secret-key"
    assert received[0].headers["User-Agent"].startswith("facet-client/")
    assert "secret-key" not in repr(facet)


def test_a_client_of_the_caller_stays_open() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": str(request.url)})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        with Facet("https://example.com/x", http=http) as facet:
            assert facet.livez().status == "https://example.com/x/livez"
        assert not http.is_closed
    with Facet() as facet:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        facet.livez()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host/?a=1", "http://host:x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="The address"):
        Facet(url)


def test_a_service_that_is_not_there_and_one_that_is_slow() -> None:
    with (
        Facet("http://127.0.0.1:9") as facet,
        pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:9/livez") as caught,
    ):
        facet.livez()
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert not isinstance(caught.value, RequestTimeout)

    def slow(request: httpx.Request) -> httpx.Response:
        assert request.extensions["timeout"] == {"connect": 2.5, "read": 2.5, "write": 2.5, "pool": 2.5}
        raise httpx.ReadTimeout("slow", request=request)

    with (
        httpx.Client(transport=httpx.MockTransport(slow)) as http,
        Facet(timeout_s=2.5, http=http) as facet,
        pytest.raises(RequestTimeout, match="ReadTimeout"),
    ):
        facet.livez()


def test_clusters_have_a_longer_time_of_their_own() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        results = [{"image": {"width": 1, "height": 1}, "faces": []}, {"type": "/problems/x", "status": 422}]
        names = {"model": "m", "detector": "d"}
        return httpx.Response(200, json={"results": results, "clusters": 0, "threshold": 0.5, **names})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        Facet(http=http, timeout_s=5) as facet,
    ):
        found = facet.cluster(b"a", b"b", threshold=0.5)
        facet.cluster(b"a", timeout_s=7)
    assert [type(one) for one in found.results] == [ClusteredImage, Problem]
    assert [request.extensions["timeout"]["read"] for request in sent] == [660, 7]
    assert sent[0].url.path == "/cluster"
    assert dict(sent[0].url.params) == {"threshold": "0.5"}
    assert sent[0].read().count(b'; name="image"') == 2


def test_type_checkers_know_the_results(facet: Facet) -> None:
    """mypy checks the types; the test runs the statements."""
    assert_type(facet.detect(picture(), min_face_size=40), DetectResponse)
    assert_type(facet.draw_faces(picture()), bytes)
    assert_type(Facet.list_collections(facet), Any)

    async def check(other: AsyncFacet) -> None:
        assert_type(await other.detect(np.zeros((40, 40, 3), np.uint8)), DetectResponse)
        assert_type(await other.delete_collection("c"), bool)

    assert asyncio.iscoroutinefunction(check)
