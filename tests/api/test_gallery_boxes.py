"""Faces of the gallery that a request names by their boxes, over fake nets and the real ones."""

import base64
import json
import uuid
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pil

from tests.api.pictures import opened, picture, problem, written

LEFT, RIGHT = [10, 12, 90, 108], [120, 36, 180, 84]


def person_of(http: httpx.Client) -> str:
    """The path of a new person in a new collection."""
    collection = f"/collections/c{uuid.uuid4().hex[:8]}"
    assert http.put(collection).status_code == 201
    return f"{collection}/people/{http.post(f'{collection}/people').json()['id']}"


def post(
    http: httpx.Client, person: str, images: list[bytes], boxes: list[Any], **parameters: Any
) -> httpx.Response:
    """Send a form with images, and with boxes as JSON or as text."""
    texts = [box if isinstance(box, str) else json.dumps(box) for box in boxes]
    parts = [("image", ("i", image)) for image in images] + [("box", (None, text)) for text in texts]
    return http.post(f"{person}/faces", files=parts, params=parameters)


def results(*arguments: Any, **parameters: Any) -> list[dict[str, Any]]:
    response = post(*arguments, **parameters)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def corners(result: dict[str, Any]) -> list[float]:
    return list(result["face"]["box"].values())


@pytest.mark.parametrize("box", [RIGHT, dict(zip(("x1", "y1", "x2", "y2"), RIGHT, strict=True))])
def test_the_face_of_the_box_is_stored(client: httpx.Client, box: Any) -> None:
    person = person_of(client)
    (stored,) = results(client, person, [picture()], [box])
    assert corners(stored) == RIGHT
    (found,) = client.get(f"{person}/faces").json()["faces"]
    assert found == stored["face"]
    assert "fake" not in stored  # nothing was detected


@pytest.mark.parametrize("box", [RIGHT, dict(zip(("x1", "y1", "x2", "y2"), RIGHT, strict=True)), None])
def test_a_box_in_json(client: httpx.Client, box: Any) -> None:
    body = {"image": base64.b64encode(picture()).decode(), "box": box}
    (stored,) = client.post(f"{person_of(client)}/faces", json=body).json()["results"]
    assert corners(stored) == (LEFT if box is None else RIGHT)


def test_boxes_belong_to_the_images_in_their_order(client: httpx.Client) -> None:
    colours = [(220, 40, 40), (40, 220, 40), (40, 40, 220), (200, 200, 40)]
    images = [written(Pil.new("RGB", (200 + 20 * n, 120), colour)) for n, colour in enumerate(colours)]
    found = results(client, person_of(client), images, [RIGHT, "", "null", [5, 5, 60, 60]])
    assert corners(found[0]) == RIGHT
    assert corners(found[1]) == pytest.approx([11, 12, 99, 108])
    assert corners(found[2]) == pytest.approx([12, 12, 108, 108])
    assert corners(found[3]) == [5, 5, 60, 60]


def test_with_a_box_other_faces_do_not_matter(client: httpx.Client) -> None:
    person = person_of(client)
    one, other = results(client, person, [picture(), picture(220)], [RIGHT, None], faces="one", threshold=1)
    assert corners(one) == RIGHT
    assert other["type"] in ("/problems/several-faces", "/problems/no-face")


def test_two_faces_of_one_image_are_no_copies(client: httpx.Client) -> None:
    person = person_of(client)
    (first,) = results(client, person, [picture()], [LEFT])
    (second,) = results(client, person, [picture()], [RIGHT])
    assert "duplicate_of" not in second
    moved = [value + 3 for value in RIGHT]
    for box in (RIGHT, moved):
        (again,) = results(client, person, [picture()], [box])
        assert again == {**second, "duplicate_of": second["face"]["id"]}
    (largest,) = results(client, person, [picture()], [])
    assert largest == {**first, "duplicate_of": first["face"]["id"]}


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([1, 2, 3], "not four numbers but a list of 3 values"),
        ([LEFT], "not four numbers but a list of 1 values"),
        ([1, 2, "3", 4], "a list with a string"),
        ({"x1": 1, "y1": 2, "x2": 30}, "exactly x1, y1, x2, y2"),
        ({"x1": 1, "y1": 2, "x2": 30, "y2": 40, "score": 1}, "exactly x1, y1, x2, y2"),
        ({"x1": 1, "y1": 2, "x2": 30, "y2": None}, "a list with null"),
        ("10,20,30,40", "not valid JSON"),
        ("text", "not valid JSON"),
        (7, "a number"),
        ([90, 12, 10, 108], "x2 > x1"),
        ([1, 2, 1e9, 4], "finite"),
        ([300, 12, 390, 108], "completely outside the image of 200 x 120 pixels"),
        ("[1, 2, 30, 40" + " " * 5000 + "]", "more than 4096 bytes"),
    ],
)
def test_a_bad_box_is_the_problem_of_its_image(client: httpx.Client, box: Any, words: str) -> None:
    person = person_of(client)
    bad, good = results(client, person, [picture(), picture()], [box, LEFT])
    assert (bad["type"], bad["status"], bad["field"]) == ("/problems/bad-parameter", 422, "box")
    assert words in bad["detail"]
    assert "box" in bad["detail"]
    assert corners(good) == LEFT


def test_a_bad_box_in_json_is_the_problem_of_the_request(client: httpx.Client) -> None:
    person = person_of(client)
    body = {"image": base64.b64encode(picture()).decode(), "box": [1, 2]}
    problem(client.post(f"{person}/faces", json=body), 422, "bad-parameter", "box")
    assert client.get(person).json()["faces"] == 0


@pytest.mark.parametrize("boxes", [[LEFT], [LEFT] * 3, [""]])
def test_another_number_of_boxes_is_refused(client: httpx.Client, boxes: list[Any]) -> None:
    person = person_of(client)
    answer = post(client, person, [picture(), picture(220)], boxes)
    detail = problem(answer, 422, "bad-parameter", "box")["detail"]
    assert f"parts named box is {len(boxes)}, and that of the images is 2" in detail
    assert client.get(person).json()["faces"] == 0


def test_the_most_images_may_all_have_boxes(client: httpx.Client) -> None:
    person = person_of(client)
    assert len(results(client, person, [picture()] * 16, [LEFT] * 16)) == 16
    answer = post(client, person, [picture()] * 17, [])
    assert "more than 16 images" in problem(answer, 422, "bad-parameter")["detail"]


@pytest.mark.parametrize(
    ("send", "field", "words"),
    [
        ({"params": {"box": "[1,2,3,4]"}, "files": {"image": picture()}}, "box", "field of the body"),
        ({"files": {"image": picture()}, "data": {"boxes": "[]"}}, "boxes", "Did you mean box?"),
        ({"data": {"box": "[1,2,30,40]"}, "files": {"picture": picture()}}, "picture", "image"),
        ({"files": {"box": (None, "[1,2,30,40]")}}, "image", "no field image"),
    ],
)
def test_a_misplaced_box_is_explained(
    client: httpx.Client, send: dict[str, Any], field: str, words: str
) -> None:
    answer = client.post(f"{person_of(client)}/faces", **send)
    assert words in problem(answer, 422, "bad-parameter", field)["detail"]


GROUP = ("obama.jpg", "biden.jpg", "astronaut.png")


def group() -> bytes:
    """A photo with three people."""
    tiles = [
        opened(name).resize((round(600 * opened(name).width / opened(name).height), 600)) for name in GROUP
    ]
    whole = Pil.new("RGB", (sum(tile.width for tile in tiles), 600))
    left = 0
    for tile in tiles:
        whole.paste(tile, (left, 0))
        left += tile.width
    return written(whole)


def exported(http: httpx.Client, person: str) -> dict[str, np.ndarray]:
    """The vectors of the faces of a person by their ids."""
    lines = http.get(f"{person.partition('/people')[0]}/export").content.splitlines()
    return {
        face["id"]: np.frombuffer(base64.b64decode(face["embedding"]), "<f4")
        for line in lines[1:-1]
        for face in json.loads(line)["faces"]
    }


def test_each_face_of_a_group_is_enrolled_as_embed_reads_it(real: httpx.Client) -> None:
    image = group()
    detected = real.post("/detect", files={"image": image}).json()["faces"]
    embedded = real.post("/embed", files={"image": image}).json()["faces"]
    assert len(detected) == 3
    people = []
    for face, found in zip(detected, embedded, strict=True):
        assert face["box"] == found["box"]
        person = person_of(real)
        (stored,) = results(real, person, [image], [face["box"]], faces="one")
        assert stored["face"]["box"] == face["box"]
        assert stored["face"]["quality"] > 0.5
        vector = exported(real, person)[stored["face"]["id"]]
        boxes = {"boxes": json.dumps([list(face["box"].values())])}
        (given,) = real.post("/embed", files={"image": image}, data=boxes).json()["faces"]
        assert np.dot(vector, given["embedding"]) >= 0.9999
        assert np.dot(vector, found["embedding"]) >= 0.999
        people.append(vector)
    similarities = np.stack(people) @ np.stack(people).T
    assert (similarities - np.eye(3)).max() < 0.7  # of different people


@pytest.mark.parametrize("orientation", ["upright", "auto"])
def test_a_box_without_a_face_stores_nothing(real: httpx.Client, orientation: str) -> None:
    person = person_of(real)
    face, wall = {"x1": 369, "y1": 83, "x2": 615, "y2": 412}, [20, 20, 120, 120]
    image = written(opened("obama.jpg"))
    bad, good = results(real, person, [image, image], [wall, face], orientation=orientation)
    assert (bad["type"], bad["field"]) == ("/problems/no-face", "box")
    assert "[20.0, 20.0, 120.0, 120.0]" in bad["detail"]
    assert ("orientation" in bad["detail"]) == (orientation == "upright")
    assert "face" in good
    assert real.get(person).json()["faces"] == 1


def test_a_turned_face_needs_the_orientation(real: httpx.Client) -> None:
    image = written(opened("obama.jpg").transpose(Pil.Transpose.ROTATE_180))
    (face,) = real.post("/detect?orientation=auto", files={"image": image}).json()["faces"]
    person = person_of(real)
    (refused,) = results(real, person, [image], [face["box"]])
    assert refused["type"] == "/problems/no-face"
    assert "orientation to auto" in refused["detail"]
    (stored,) = results(real, person, [image], [face["box"]], orientation="auto")
    vector = exported(real, person)[stored["face"]["id"]]
    (upright,) = real.post("/embed", files={"image": written(opened("obama.jpg"))}).json()["faces"]
    assert np.dot(vector, upright["embedding"]) > 0.95
