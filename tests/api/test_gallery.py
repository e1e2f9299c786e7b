"""The routes of the gallery, over fake nets: a face is as similar to another as the colours of both."""

import base64
import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from app.gallery.sqlite import mutations
from app.gallery.sqlite_store import SqliteStore
from app.main import create_app
from app.settings import Settings
from tests.api.pictures import picture, problem, written
from tests.fakes import fake_analyzer
from tests.servers import client_of, serving, until

RED, GREEN, BLUE = (220, 40, 40), (40, 220, 40), (40, 40, 220)
UNKNOWN = "0" * 32


def photo(left: tuple[int, int, int], right: tuple[int, int, int] = (0, 0, 0), size: int = 200) -> bytes:
    """A picture with two faces of these colours; the left one is larger."""
    pixels = np.zeros((120, size, 3), np.uint8)
    pixels[:, : size // 2], pixels[:, size // 2 :] = left, right
    return written(Pil.fromarray(pixels))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(gallery=str(tmp_path_factory.mktemp("gallery") / "new" / "gallery.db"))
    with serving(create_app(settings, fake_analyzer())) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with client_of(url) as client:
        yield client


@pytest.fixture
def base(http: httpx.Client) -> str:
    """The path of a new collection."""
    path = f"/collections/c{uuid.uuid4().hex[:8]}"
    assert http.put(path).status_code == 201
    return path


def add(http: httpx.Client, base: str, image: bytes | None = None, **fields: Any) -> str:
    """Add a person with a face, and return the id."""
    response = http.post(f"{base}/people", json=fields)
    assert response.status_code == 201, response.text
    person: str = response.json()["id"]
    if image is not None:
        faces(http, f"{base}/people/{person}", image)
    return person


def faces(http: httpx.Client, person: str, *images: bytes, **parameters: Any) -> list[dict[str, Any]]:
    """Add faces, and return the results."""
    parts = [("image", image) for image in images]
    response = http.post(f"{person}/faces", files=parts, params=parameters)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def identify(http: httpx.Client, base: str, image: bytes, **parameters: Any) -> dict[str, Any]:
    parameters = {"threshold": 0.95} | parameters
    response = http.post(
        f"{base}/identify", content=image, params=parameters, headers={"content-type": "image/png"}
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_put_creates_a_collection_once(http: httpx.Client) -> None:
    created = http.put("/collections/family")
    assert created.status_code == 201
    body = created.json()
    assert body | {"created": None, "contract": None} == {
        "name": "family",
        "model": "vectors",
        "contract": None,
        "usable": True,
        "people": 0,
        "faces": 0,
        "created": None,
    }
    again = http.put("/collections/family", json={})
    assert (again.status_code, again.json()) == (200, body)
    assert http.get("/collections/family").json() == body
    assert body in http.get("/collections").json()["collections"]
    assert http.put("/collections/family", json={"model": "vectors"}).status_code == 200
    problem(http.put("/collections/family", json={"model": "other-vectors"}), 409, "other-embedding", "model")
    assert http.delete("/collections/family").status_code == 204
    problem(http.get("/collections/family"), 404, "unknown-id", "collection")


def test_another_model_makes_another_contract(http: httpx.Client) -> None:
    first = http.put("/collections/one").json()
    second = http.put("/collections/two", json={"model": "other-vectors"}).json()
    assert second["model"] == "other-vectors"
    assert first["contract"] != second["contract"]


@pytest.mark.parametrize("name", ["-x", "a" * 65, "with space", "ä", "%2e%2e"])
def test_put_refuses_a_malformed_name(http: httpx.Client, name: str) -> None:
    problem(http.put(f"/collections/{name}"), 422, "bad-parameter", "collection")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "nobody"}, "model"),
        ({"model": 3}, "model"),
        ({"modle": "vectors"}, "modle"),
        ([], None),
    ],
)
def test_put_refuses_a_bad_body(http: httpx.Client, body: Any, field: str | None) -> None:
    kind = "unknown-model" if body == {"model": "nobody"} else "bad-parameter"
    problem(http.put("/collections/bad", json=body), 422, kind, field)
    problem(http.get("/collections/bad"), 404, "unknown-id", "collection")


def test_people_are_added_read_changed_and_deleted(http: httpx.Client, base: str) -> None:
    sent = {"name": "Ada  Lovelace", "external_id": "4711", "metadata": {"a": [1, None, "ö"]}}
    added = http.post(f"{base}/people", json=sent)
    assert added.status_code == 201
    person = added.json()
    assert sent.items() <= person.items()
    assert (person["faces"], person["expires"]) == (0, None)
    path = f"{base}/people/{person['id']}"
    assert added.headers["location"] == path
    assert http.get(path).json() == person
    assert http.get(base).json()["people"] == 1
    changed = http.patch(path, json={"name": "Ada King", "metadata": None}).json()
    assert changed == person | {"name": "Ada King", "metadata": None}
    assert http.patch(path, json={}).json() == changed
    assert http.delete(path).status_code == 204
    problem(http.get(path), 404, "unknown-id", "person")
    problem(http.delete(path), 404, "unknown-id", "person")


def test_a_person_needs_no_body(http: httpx.Client, base: str) -> None:
    assert http.post(f"{base}/people").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 7}, "name"),
        ({"external_id": " "}, "external_id"),
        ({"metadata": "text"}, "metadata"),
        ({"metadata": {"a": "x" * 5000}}, "metadata"),
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expires"),
        ({"expires": "2030-01-01T00:00:00"}, "expires"),
        ({"expires": 1900000000}, "expires"),
        ({"id": "1"}, "id"),
    ],
)
def test_people_are_refused_with_the_field_at_fault(
    http: httpx.Client, base: str, body: dict[str, Any], field: str
) -> None:
    problem(http.post(f"{base}/people", json=body), 422, "bad-parameter", field)
    assert http.get(base).json()["people"] == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b'{"metadata": {"a": NaN}}', b"\xff"])
def test_a_malformed_body_is_refused(http: httpx.Client, base: str, body: bytes) -> None:
    response = http.post(f"{base}/people", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422, response.text
    assert response.json()["type"] == "/problems/bad-parameter"


def test_a_body_of_another_type_is_refused(http: httpx.Client, base: str) -> None:
    response = http.post(f"{base}/people", data={"name": "Ada"})
    problem(response, 415, "unsupported-media-type")


def test_a_long_body_is_refused(http: httpx.Client, base: str) -> None:
    response = http.post(f"{base}/people", json={"name": "x" * 70_000})
    assert problem(response, 413, "too-many-bytes")["limit"] == 65536


def test_external_ids_are_unique_in_a_collection(http: httpx.Client, base: str) -> None:
    first, second = add(http, base, external_id="1"), add(http, base, external_id="2")
    again = http.post(f"{base}/people", json={"external_id": "1"})
    problem(again, 409, "duplicate-external-id", "external_id")
    changed = http.patch(f"{base}/people/{second}", json={"external_id": "1"})
    problem(changed, 409, "duplicate-external-id", "external_id")
    assert http.patch(f"{base}/people/{first}", json={"external_id": "1"}).status_code == 200


def test_people_are_listed_in_pages(http: httpx.Client, base: str) -> None:
    ids = [add(http, base, name=f"Person {n} {'Straße' if n % 2 else ''}") for n in range(7)]
    seen, cursor, pages = [], "", 0
    while True:
        page = http.get(f"{base}/people", params={"limit": 3, "cursor": cursor}).json()
        seen += [person["id"] for person in page["people"]]
        cursor, pages = page["cursor"], pages + 1
        if cursor is None:
            break
    assert (seen, pages) == (ids, 3)
    found = http.get(f"{base}/people", params={"name": "STRASSE", "limit": 2}).json()
    assert [person["id"] for person in found["people"]] == [ids[1], ids[3]]
    rest = http.get(f"{base}/people", params={"name": "STRASSE", "cursor": found["cursor"]}).json()
    assert [person["id"] for person in rest["people"]] == [ids[5]]
    assert http.get(f"{base}/people", params={"name": "%"}).json()["people"] == []
    chosen = add(http, base, external_id="x1")
    only = http.get(f"{base}/people", params={"external_id": "x1"}).json()["people"]
    assert [person["id"] for person in only] == [chosen]


@pytest.mark.parametrize(
    "parameters", [{"cursor": "x"}, {"cursor": "YWZ0ZXI6eA"}, {"limit": 0}, {"limit": 1001}]
)
def test_bad_pages_are_refused(http: httpx.Client, base: str, parameters: dict[str, Any]) -> None:
    problem(http.get(f"{base}/people", params=parameters), 422, "bad-parameter", next(iter(parameters)))


@pytest.mark.parametrize("person", [UNKNOWN, "x", "0" * 31, "A" * 32, "%00", "x" * 3000])
def test_unknown_and_malformed_ids_are_404(http: httpx.Client, base: str, person: str) -> None:
    image = {"image": photo(RED)}
    path = f"{base}/people/{person}"
    for response in (
        http.get(path),
        http.patch(path, json={}),
        http.delete(path),
        http.get(f"{path}/faces"),
        http.post(f"{path}/faces", files=image),
        http.post(f"{path}/verify", files=image),
        http.delete(f"{path}/faces/{UNKNOWN}"),
    ):
        problem(response, 404, "unknown-id", "person")


def test_unknown_collections_are_404(http: httpx.Client) -> None:
    image = {"image": photo(RED)}
    for name in ("nobody", "ä", "x" * 200, "%00"):
        path = f"/collections/{name}"
        for response in (
            http.get(path),
            http.delete(path),
            http.get(f"{path}/people"),
            http.post(f"{path}/people", json={}),
            http.post(f"{path}/identify", files=image),
            http.get(f"{path}/export"),
            http.post(f"{path}/purge"),
        ):
            problem(response, 404, "unknown-id", "collection")


def test_a_face_is_stored_and_found(http: httpx.Client, base: str) -> None:
    person = add(http, base, name="Red")
    path = f"{base}/people/{person}"
    (result,) = faces(http, path, photo(RED, GREEN))
    face = result["face"]
    assert (face["person"], face["expires"], face["quality"]) == (person, None, None)
    assert face["box"]["x2"] <= 100  # the larger face, on the left
    assert http.get(f"{path}/faces").json()["faces"] == [face]
    assert http.get(path).json()["faces"] == http.get(base).json()["faces"] == 1
    found = identify(http, base, photo(GREEN, RED))
    green, red = found["faces"]
    assert (found["gallery_faces"], found["threshold"], found["fpir"]) == (1, 0.95, None)
    assert red["person"] == {"id": person, "name": "Red", "external_id": None}
    assert red["similarity"] == pytest.approx(1, abs=1e-4)
    assert red["candidates"][0] == {**red["person"], "similarity": red["similarity"], "face": face["id"]}
    assert green["person"] is None
    assert green["similarity"] == green["candidates"][0]["similarity"] < 0.95


def test_pictures_are_answered_in_order(http: httpx.Client, base: str) -> None:
    path = f"{base}/people/{add(http, base)}"
    results = faces(http, path, photo(RED), picture(bright=False), b"no image", photo(BLUE))
    assert [next(iter(result)) for result in results] == ["face", "type", "type", "face"]
    assert [result.get("type") for result in results[1:3]] == ["/problems/no-face", "/problems/not-an-image"]
    assert http.get(path).json()["faces"] == 2


def test_one_picture_is_sent_in_every_form(http: httpx.Client, base: str) -> None:
    path = f"{base}/people/{add(http, base)}/faces"
    raw = http.post(path, content=photo(RED), headers={"content-type": "image/png"})
    text = base64.b64encode(photo(GREEN)).decode()
    assert list(raw.json()["results"][0]) == ["face"]
    assert list(http.post(path, json={"image": text}).json()["results"][0]) == ["face"]
    problem(http.post(path, json={"picture": text}), 422, "bad-parameter", "picture")


def test_copies_are_reported_and_not_stored(http: httpx.Client, base: str) -> None:
    path = f"{base}/people/{add(http, base)}"
    (first,) = faces(http, path, photo(RED))
    same, near, other = faces(http, path, photo(RED), photo((222, 41, 40), size=240), photo(GREEN))
    assert same == near == {**first, "duplicate_of": first["face"]["id"]}
    assert "duplicate_of" not in other
    assert http.get(path).json()["faces"] == 2
    elsewhere = f"{base}/people/{add(http, base)}"
    assert "duplicate_of" not in faces(http, elsewhere, photo(RED))[0]


def test_exactly_one_face_can_be_demanded(http: httpx.Client, base: str) -> None:
    path = f"{base}/people/{add(http, base)}"
    (result,) = faces(http, path, photo(RED, GREEN), faces="one")
    assert (result["type"], result["field"]) == ("/problems/several-faces", "image")
    problem(
        http.post(f"{path}/faces", files={"image": photo(RED)}, params={"faces": "two"}),
        422,
        "bad-parameter",
        "faces",
    )


def test_two_faces_never_get_the_same_person(http: httpx.Client, base: str) -> None:
    add(http, base, photo(RED), name="Red")
    other = add(http, base, photo((200, 60, 40)), name="Orange")
    left, right = identify(http, base, photo(RED, (219, 41, 40)), threshold=0.9)["faces"]
    assert left["person"]["name"] == "Red"
    assert right["person"]["id"] == other
    http.delete(f"{base}/people/{other}")
    left, right = identify(http, base, photo((219, 44, 40), RED), threshold=0.9)["faces"]
    assert (left["person"], right["person"]["name"]) == (None, "Red")


def test_nobody_is_found_without_faces(http: httpx.Client, base: str) -> None:
    add(http, base)
    found = identify(http, base, photo(RED), top=3)
    assert found["gallery_faces"] == 0
    assert [(f["person"], f["similarity"], f["candidates"]) for f in found["faces"]] == [(None, None, [])] * 2
    assert identify(http, base, picture(bright=False))["faces"] == []


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"fpir": 0.01, "threshold": 0.5}, "fpir"),
        ({"fpir": 0}, "fpir"),
        ({"threshold": 2}, "threshold"),
        ({"top": 0}, "top"),
        ({"top": 101}, "top"),
        ({"min_face_size": 1}, "min_face_size"),
        ({"max_faces": 51_000}, "max_faces"),
        ({"far": 0.1}, "far"),
    ],
)
def test_bad_parameters_of_identify(
    http: httpx.Client, base: str, parameters: dict[str, Any], field: str
) -> None:
    response = http.post(f"{base}/identify", files={"image": photo(RED)}, params=parameters)
    problem(response, 422, "bad-parameter", field)


def test_candidates_are_people_by_their_best_face(http: httpx.Client, base: str) -> None:
    red = add(http, base, photo(RED), name="Red")
    faces(http, f"{base}/people/{red}", photo(GREEN), photo(BLUE))
    mixed = add(http, base, photo((180, 120, 40)), name="Mixed")
    (face, _) = identify(http, base, photo((170, 125, 40)), top=5)["faces"]
    assert [candidate["id"] for candidate in face["candidates"]] == [mixed, red]
    (face, _) = identify(http, base, photo((170, 125, 40)), top=1)["faces"]
    assert [candidate["id"] for candidate in face["candidates"]] == [mixed]


def test_a_face_is_verified_against_a_person(http: httpx.Client, base: str) -> None:
    person = add(http, base, photo(RED), name="Red")
    faces(http, f"{base}/people/{person}", photo(GREEN))
    path = f"{base}/people/{person}/verify"
    same = http.post(path, files={"image": photo((40, 219, 40))}).json()
    assert (same["verified"], same["far"], same["threshold"], same["metric"]) == (True, 0.001, 0.75, "cosine")
    assert same["similarity"] == pytest.approx(1, abs=1e-4)
    assert same["person"]["name"] == "Red"
    assert same["face_b"]["id"] == http.get(f"{base}/people/{person}/faces").json()["faces"][1]["id"]
    other = http.post(path, files={"image": photo(BLUE)}, params={"threshold": 0.9}).json()
    assert (other["verified"], other["threshold"], other["far"]) == (False, 0.9, None)
    problem(http.post(path, files={"image": picture(bright=False)}), 422, "no-face", "image")
    empty = f"{base}/people/{add(http, base)}/verify"
    problem(http.post(empty, files={"image": photo(RED)}), 422, "no-face", "person")


def test_a_deleted_face_is_not_found(http: httpx.Client, base: str) -> None:
    person = add(http, base, photo(RED))
    (face,) = http.get(f"{base}/people/{person}/faces").json()["faces"]
    path = f"{base}/people/{person}/faces/{face['id']}"
    assert http.delete(path).status_code == 204
    problem(http.delete(path), 404, "unknown-id", "face")
    assert identify(http, base, photo(RED))["faces"][0]["candidates"] == []
    assert http.get(f"{base}/people/{person}").json()["faces"] == 0


def test_people_are_merged_and_faces_moved(http: httpx.Client, base: str) -> None:
    one, two = add(http, base, photo(RED), name="One"), add(http, base, photo(GREEN), name="Two")
    merged = http.post(f"{base}/people/{one}/merge", json={"into": two})
    assert (merged.json()["id"], merged.json()["faces"]) == (two, 2)
    problem(http.get(f"{base}/people/{one}"), 404, "unknown-id", "person")
    assert identify(http, base, photo(RED))["faces"][0]["person"]["id"] == two
    three = add(http, base)
    red, _ = http.get(f"{base}/people/{two}/faces").json()["faces"]
    moved = http.post(f"{base}/people/{two}/faces/{red['id']}/move", json={"person": three})
    assert moved.json() == red | {"person": three}
    assert identify(http, base, photo(RED))["faces"][0]["person"]["id"] == three
    assert identify(http, base, photo(GREEN))["faces"][0]["person"]["id"] == two


def test_merge_and_move_refuse_nonsense(http: httpx.Client, base: str) -> None:
    one = add(http, base, photo(RED))
    (face,) = http.get(f"{base}/people/{one}/faces").json()["faces"]
    merge, move = f"{base}/people/{one}/merge", f"{base}/people/{one}/faces/{face['id']}/move"
    problem(http.post(merge, json={"into": one}), 422, "bad-parameter", "into")
    problem(http.post(move, json={"person": one}), 422, "bad-parameter", "person")
    problem(http.post(merge, json={}), 422, "bad-parameter", "into")
    for other in (UNKNOWN, "x"):
        problem(
            http.post(merge, json={"into": other}), 404, "unknown-id", "into" if other == "x" else "person"
        )
        problem(http.post(move, json={"person": other}), 404, "unknown-id", "person")


def test_what_expires_is_listed_and_purged(http: httpx.Client, base: str) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    person = add(http, base, photo(RED), expires=soon)
    other = add(http, base, photo(GREEN))
    (result,) = faces(http, f"{base}/people/{other}", photo(BLUE), expires=soon)
    assert identify(http, base, photo(RED))["faces"][0]["person"]["id"] == person
    none = http.post(f"{base}/purge", params={"dry_run": True}).json()
    assert none == {"dry_run": True, "people": [], "faces": []}
    time.sleep(1.6)
    assert identify(http, base, photo(RED))["faces"][0]["person"] is None
    assert identify(http, base, photo(BLUE))["faces"][0]["person"] is None
    until(lambda: http.get(base).json()["people"] == 1)
    problem(http.get(f"{base}/people/{person}"), 404, "unknown-id", "person")
    left = http.get(f"{base}/people/{other}/faces").json()["faces"]
    assert result["face"]["id"] not in [face["id"] for face in left]
    assert len(left) == 1


def test_every_route_refuses_an_unknown_parameter(http: httpx.Client, base: str) -> None:
    ids = {"collection": base.rpartition("/")[2], "person": add(http, base, photo(RED)), "face": UNKNOWN}
    routes = [
        (method, path)
        for path, operations in http.get("/openapi.json").json()["paths"].items()
        for method in operations
        if path.startswith("/collections")
    ]
    routes += [("head", path) for method, path in routes if method == "get" and "export" not in path]
    assert len(routes) >= 24
    for method, path in routes:
        address = path.format_map(ids)
        response = http.request(method, address, params={"dryrun": "true"})
        if method == "head":
            assert response.status_code == 422, (method, path)
            continue
        assert "'dryrun' is unknown" in problem(response, 422, "bad-parameter", "dryrun")["detail"], path
    assert http.get(base).json()["faces"] == 1


def test_an_export_is_of_one_moment_and_lets_deletions_be_erased_when_it_ends(
    http: httpx.Client, base: str
) -> None:
    first, second = (add(http, base, photo(colour), name="N") for colour in (RED, GREEN))
    lines = http.get(f"{base}/export").content.splitlines()
    template = json.loads(lines[1])["person"] | {"metadata": {"a": "x" * 4000}}
    more = [  # so many that they do not fit into the buffers of the connection
        json.dumps({"person": template | {"id": f"{n:032x}"}, "faces": []}).encode() for n in range(1, 4001)
    ]
    end = json.dumps({"end": True, "people": len(more), "faces": 0}).encode()
    imported = http.post(f"{base}/import", content=b"\n".join([lines[0], *more, end]))
    assert imported.json()["people"] == len(more)
    last = add(http, base, photo(BLUE))
    with http.stream("GET", f"{base}/export") as response:
        parts = response.iter_bytes()
        content = next(parts)
        merged = httpx.post(http.base_url.join(f"{base}/people/{last}/merge"), json={"into": first})
        assert merged.status_code == 200, merged.text
        deleted = httpx.delete(http.base_url.join(f"{base}/people/{second}"))
        assert deleted.status_code == 202, deleted.text
        content += b"".join(parts)
    people = [json.loads(line)["person"]["id"] for line in content.splitlines()[1:-1]]
    assert {first, second, last} < set(people)
    assert json.loads(content.splitlines()[-1]) == {"end": True, "people": len(more) + 3, "faces": 3}
    with http.stream("GET", f"{base}/export") as response:  # the client disconnects
        next(response.iter_bytes())
    gone = time.monotonic() + 20
    while http.delete(f"{base}/people/{people[5]}").status_code != 204:
        people.pop(5)
        assert time.monotonic() < gone
        time.sleep(0.2)


def test_a_collection_is_exported_and_imported(http: httpx.Client, base: str) -> None:
    person = add(http, base, photo(RED), name="Red", metadata={"a": 1})
    add(http, base, name="Nobody", external_id="7")
    exported = http.get(f"{base}/export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in exported.content.splitlines()]
    assert lines[-1] == {"end": True, "people": 2, "faces": 1}
    copy = f"/collections/copy-{uuid.uuid4().hex[:8]}"
    imported = http.post(f"{copy}/import", content=exported.content)
    assert imported.status_code == 200, imported.text
    assert (imported.json()["people"], imported.json()["faces"]) == (2, 1)
    again = http.post(f"{copy}/import", content=exported.content).json()
    assert (again["people"], again["faces"]) == (0, 0)
    assert identify(http, copy, photo(RED))["faces"][0]["person"]["id"] == person
    assert http.get(f"{copy}/people").json() == http.get(f"{base}/people").json()
    assert (
        http.get(f"{copy}/people/{person}/faces").json() == http.get(f"{base}/people/{person}/faces").json()
    )


def _with_face(lines: list[bytes], **fields: Any) -> list[bytes]:
    """Return an export whose first face has other fields."""
    person = json.loads(lines[1])
    person["faces"][0].update(fields)
    return [lines[0], json.dumps(person).encode(), lines[2]]


def _with_vectors_of_one_number(lines: list[bytes]) -> list[bytes]:
    """Return an export of one face whose vector has one number, as its first line says."""
    one = base64.b64encode(np.ones(1, "<f4").tobytes()).decode()
    head = lines[0].replace(b'"dimension":3', b'"dimension":1')
    return [head, *_with_face(lines, embedding=one)[1:]]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: lines[:-1], "bad-parameter"),
        (lambda lines: [*lines[:1], *lines[2:]], "bad-parameter"),
        (lambda lines: [], "bad-parameter"),
        (lambda lines: [*lines, lines[1]], "bad-parameter"),
        (lambda lines: [lines[0], lines[1][:-30], lines[2]], "bad-parameter"),
        (lambda lines: [lines[0].replace(b'"dimension":3', b'"dimension":4'), *lines[1:]], "bad-parameter"),
        (lambda lines: [lines[0].replace(b"vectors-", b"vectors-0"), *lines[1:]], "other-embedding"),
        (
            lambda lines: [lines[0], lines[1].replace(b'"name":"Red"', b'"name":"a\\nb"'), lines[2]],
            "bad-parameter",
        ),
        (lambda lines: _with_vectors_of_one_number(lines), "bad-parameter"),
        (lambda lines: _with_face(lines, created="9999-12-31T23:59:59-12:00"), "bad-parameter"),
        (lambda lines: _with_face(lines, expires="9999-12-31T23:59:59-12:00"), "bad-parameter"),
        (lambda lines: _with_face(lines, score=1.5), "bad-parameter"),
        (lambda lines: _with_face(lines, quality=-0.5), "bad-parameter"),
    ],
)
def test_a_damaged_export_is_refused_as_a_whole(
    http: httpx.Client, base: str, change: Any, kind: str
) -> None:
    add(http, base, photo(RED), name="Red")
    lines = change(http.get(f"{base}/export").content.splitlines())
    target = f"/collections/copy-{uuid.uuid4().hex[:8]}"
    response = http.post(f"{target}/import", content=b"\n".join(lines))
    problem(response, 409 if kind == "other-embedding" else 422, kind, "body")
    assert http.get(target).status_code == 404


def test_an_import_beyond_a_limit_leaves_no_collection(http: httpx.Client, base: str) -> None:
    add(http, base, photo(RED))
    lines = http.get(f"{base}/export").content.splitlines()
    person = json.loads(lines[1])
    person["faces"] = [{**person["faces"][0], "id": f"{number:032x}"} for number in range(1001)]
    end = {"end": True, "people": 1, "faces": 1001}
    content = b"\n".join([lines[0], json.dumps(person).encode(), json.dumps(end).encode()])
    target = f"/collections/copy-{uuid.uuid4().hex[:8]}"
    response = http.post(f"{target}/import", content=content)
    detail = problem(response, 409, "gallery-limit")["detail"]
    assert detail.endswith("faces per person is 1000. Delete some.")  # no setting raises this limit
    assert http.get(target).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "山田\u3000太郎",
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
        "\N{MAN}\u200d\N{WOMAN}",
        "Jean\u00a0Luc",
        "e\u0301",
        "ab\u200fc",
    ],
)
def test_names_of_all_scripts_are_stored(http: httpx.Client, base: str, name: str) -> None:
    person = add(http, base, name=name, external_id=name)
    assert http.get(f"{base}/people/{person}").json()["name"] == name
    (found,) = http.get(f"{base}/people", params={"name": name}).json()["people"]
    assert found["id"] == person


@pytest.mark.parametrize("sign", ["\0", "\n", "\x7f", "\x85", "\u2028", "\u202e", "\u2066"])
def test_names_have_no_control_characters(http: httpx.Client, base: str, sign: str) -> None:
    problem(http.post(f"{base}/people", json={"name": f"a{sign}b"}), 422, "bad-parameter", "name")


def test_a_name_is_found_in_either_normal_form(http: httpx.Client, base: str) -> None:
    add(http, base, name="Ren\u00e9")
    add(http, base, name="Rene\u0301")
    for name in ("ren\u00e9", "rene\u0301"):
        assert len(http.get(f"{base}/people", params={"name": name}).json()["people"]) == 2


def test_a_missing_field_is_named(http: httpx.Client, base: str) -> None:
    person = add(http, base)
    response = http.post(f"{base}/people/{person}/merge", json={})
    assert problem(response, 422, "bad-parameter", "into")["detail"] == "The field into is missing. Send it."


def test_a_fault_inside_of_metadata_names_metadata(http: httpx.Client, base: str) -> None:
    response = http.post(f"{base}/people", content=b'{"metadata": {"a": [1e999]}}')
    problem(response, 422, "bad-parameter", "metadata")


def test_a_time_that_has_passed_refuses_the_whole_request(http: httpx.Client, base: str) -> None:
    person = add(http, base)
    path = f"{base}/people/{person}/faces"
    response = http.post(path, params={"expires": "2020-01-01T00:00:00Z"}, files={"image": photo(RED)})
    problem(response, 422, "bad-parameter", "expires")


@pytest.mark.parametrize("route", ["identify", "people/{person}/verify"])
def test_no_missing_route_is_recommended(http: httpx.Client, base: str, route: str) -> None:
    path = f"{base}/{route.format(person=add(http, base))}"
    response = http.post(path, files=[("image", photo(RED)), ("image", photo(RED))])
    assert "/batch" not in problem(response, 422, "bad-parameter", "image")["detail"]


def test_a_collection_of_another_contract_is_listed_exported_and_deleted_only(
    url: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "gallery.db")
    with serving(create_app(Settings(gallery=path), fake_analyzer())) as address, client_of(address) as http:
        assert http.put("/collections/c").status_code == 201
        person = add(http, "/collections/c", photo(RED), name="Red")
    changed = fake_analyzer()
    for model in changed.models:  # another file of the embedder
        if model.entry.name == "vectors":
            other = model.entry.files[0].model_copy(update={"sha256": "1" * 64})
            object.__setattr__(model, "entry", model.entry.model_copy(update={"files": (other,)}))
    with serving(create_app(Settings(gallery=path), changed)) as address, client_of(address) as http:
        (listed,) = http.get("/collections").json()["collections"]
        assert (listed["name"], listed["usable"], listed["faces"]) == ("c", False, 1)
        image = {"image": photo(RED)}
        base = "/collections/c"
        for response in (
            http.post(f"{base}/identify", files=image),
            http.post(f"{base}/people/{person}/faces", files=image),
            http.post(f"{base}/people/{person}/verify", files=image),
            http.post(f"{base}/people", json={}),
        ):
            problem(response, 409, "other-embedding", "collection")
        exported = http.get(f"{base}/export").content
        assert b'"name":"Red"' in exported
        problem(http.post("/collections/d/import", content=exported), 409, "other-embedding", "body")
        assert http.delete(base).status_code == 204


@pytest.mark.parametrize("where", ["off", "/proc/facet/gallery.db", "folder"])
def test_an_unusable_gallery_is_503_and_the_rest_works(tmp_path: Path, where: str) -> None:
    path = str(tmp_path) if where == "folder" else where
    with serving(create_app(Settings(gallery=path), fake_analyzer())) as url, client_of(url) as http:
        for response in (
            http.get("/collections"),
            http.put("/collections/c"),
            http.post("/collections/c/identify", files={"image": photo(RED)}),
        ):
            body = problem(response, 503, "gallery-unavailable")
            assert "FACE_GALLERY" in body["detail"]
            assert int(response.headers["retry-after"]) > 0
        assert http.post("/detect", files={"image": photo(RED)}).status_code == 200
        lacking = {"status": "degraded", "gallery": "unavailable"}
        until(lambda: http.get("/readyz").json() == ({"status": "ready"} if where == "off" else lacking))
        assert http.get("/readyz").status_code == 200


def test_limits_of_people_and_faces(tmp_path: Path) -> None:
    settings = Settings(gallery=str(tmp_path / "g.db"), max_gallery_people=2, max_gallery_faces=1)
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as http:
        base = "/collections/c"
        http.put(base)
        person = add(http, base, photo(RED))
        add(http, base)
        problem(http.post(f"{base}/people", json={}), 409, "gallery-limit")
        (result,) = faces(http, f"{base}/people/{person}", photo(GREEN))
        assert result["type"] == "/problems/gallery-limit"
        assert http.get(base).json()["faces"] == 1


def test_two_services_on_one_file_see_each_other_at_once(tmp_path: Path) -> None:
    settings = Settings(gallery=str(tmp_path / "g.db"))
    apps = [create_app(settings, fake_analyzer()) for _ in range(2)]
    with serving(apps[0]) as a, serving(apps[1]) as b, client_of(a) as one, client_of(b) as two:
        base = "/collections/c"
        one.put(base)
        for n in range(20):
            writer, reader = (one, two) if n % 2 else (two, one)
            person = add(writer, base, photo(RED), name=str(n))
            assert identify(reader, base, photo(RED))["faces"][0]["person"]["id"] == person
            assert writer.delete(f"{base}/people/{person}").status_code == 204
            assert identify(reader, base, photo(RED))["faces"][0]["person"] is None


def test_concurrent_requests_agree(http: httpx.Client, base: str, url: str) -> None:
    person = f"{base}/people/{add(http, base)}"
    colours = [(10 * n, 250 - 10 * n, (70 * n) % 250) for n in range(1, 20)]
    with ThreadPoolExecutor(8) as pool, client_of(url) as shared:
        results = list(pool.map(lambda colour: faces(shared, person, photo(colour))[0], colours))
    stored = [result["face"]["id"] for result in results if "duplicate_of" not in result]
    listed = [face["id"] for face in http.get(f"{person}/faces").json()["faces"]]
    assert sorted(stored) == sorted(listed)
    assert http.get(person).json()["faces"] == http.get(base).json()["faces"] == len(stored)


def test_the_audit_log_has_ids_but_no_names(
    http: httpx.Client, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "facet.audit"):
        person = add(http, base, photo(RED), name="Secret Name", metadata={"k": "Secret Value"})
        http.delete(f"{base}/people/{person}")
    lines = [record.getMessage() for record in caplog.records if record.name == "facet.audit"]
    assert [line.split()[1] for line in lines] == [
        "action=add-person",
        "action=add-face",
        "action=delete-person",
    ]
    assert all(person in line and "Secret" not in line for line in lines)


def test_what_is_dropped_at_the_deadline_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = mutations.insert_person

    def slow(*rest: Any) -> Any:
        time.sleep(0.1)
        return plain(*rest)

    settings = Settings(gallery=str(tmp_path / "g.db"), request_timeout_s=1)
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as http:
        http.put("/collections/a")
        header, _ = http.get("/collections/a/export").content.splitlines()
        person = {"created": "2026-01-01T00:00:00Z"}
        people = [json.dumps({"person": {**person, "id": f"{n:032x}"}, "faces": []}) for n in range(50)]
        end = json.dumps({"end": True, "people": len(people), "faces": 0})
        content = b"\n".join([header, *map(str.encode, (*people, end))])
        monkeypatch.setattr(mutations, "insert_person", slow)
        response = http.post("/collections/b/import", content=content)
        assert "was dropped" in problem(response, 503, "deadline-exceeded")["detail"]
        monkeypatch.undo()
        until(lambda: http.get("/collections/b").status_code == 404)
        assert http.post("/collections/b/import", content=content).json()["people"] == len(people)


def test_a_change_that_may_have_been_made_is_not_reported_as_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(gallery=str(tmp_path / "g.db"), request_timeout_s=1)
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as http:
        http.put("/collections/a")
        path = f"/collections/a/people/{add(http, '/collections/a')}"
        monkeypatch.setattr(SqliteStore, "erase", lambda *_: time.sleep(2))
        body = problem(http.delete(path), 503, "deadline-exceeded")
        assert "may have been made. Ask for the state" in body["detail"]
        problem(http.get(path), 404, "unknown-id", "person")
