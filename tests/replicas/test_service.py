"""The service whose operations run in replicas answers what the service without replicas answers."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.pipeline.analyzer import Analyzer
from app.settings import Settings
from tests.api.pictures import opened, picture, problem, written
from tests.api.test_metrics import samples
from tests.fakes import fake_analyzer
from tests.processes import EXAMPLE
from tests.replicas.pickled import PickledReplicas, with_replicas, without_replicas

JPEG = {"Content-Type": "image/jpeg"}
LEFT, RIGHT = [10.0, 12.0, 90.0, 108.0], [120.0, 36.0, 180.0, 84.0]
ID = re.compile(r"\b[0-9a-f]{32}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")

Ask = Callable[[httpx.Client], httpx.Response]


@dataclass(frozen=True)
class Pair:
    """Clients of the two services, and the replicas of one.

    Attributes:
        plain: the service without replicas.
        remote: the service with replicas.
        replicas: the replicas.
    """

    plain: httpx.Client
    remote: httpx.Client
    replicas: PickledReplicas


def pair_of(analyzer: Analyzer, folder: Path) -> Iterator[Pair]:
    limits: dict[str, Any] = {"max_image_bytes": 3_000_000, "max_image_pixels": 2_000_000, "max_boxes": 4}
    plain = Settings(gallery=str(folder / "plain.db"), **limits)
    remote = Settings(gallery=str(folder / "remote.db"), **limits)
    with without_replicas(plain, analyzer) as first, with_replicas(remote, analyzer) as (second, replicas):
        yield Pair(first, second, replicas)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both services over fake nets."""
    yield from pair_of(fake_analyzer(), tmp_path_factory.mktemp("fake"))


@pytest.fixture(scope="module")
def real(analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both services over the models of this checkout."""
    yield from pair_of(analyzer, tmp_path_factory.mktemp("real"))


def post(path: str, content: bytes = b"", **options: Any) -> Ask:
    """A request with an image as its body, or with other options."""
    if content:
        options = {"content": content, "headers": JPEG | options.pop("headers", {}), **options}
    return lambda client: client.post(path, **options)


def form(path: str, *images: bytes, **fields: Any) -> Ask:
    """A request with a form."""
    parts: list[Any] = [("image", ("i", image)) for image in images]
    parts += [(name, (None, json.dumps(value))) for name, value in fields.items()]
    return lambda client: client.post(path, files=parts)


def pair_form(query: str, a: bytes, b: bytes) -> Ask:
    return lambda client: client.post(f"/verify{query}", files={"image_a": a, "image_b": b})


def as_json(path: str, image: bytes, **fields: Any) -> Ask:
    body = {"image": base64.b64encode(image).decode(), **fields}
    return lambda client: client.post(path, json=body)


def without_times(value: Any) -> Any:
    """Return a parsed answer without its `timing_ms`."""
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name != "timing_ms"}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def seen(response: httpx.Response) -> tuple[int, str, Any]:
    """Return what must be equal: status, content type and body, without times and random ids."""
    kind = response.headers.get("content-type", "")
    if "json" not in kind:
        return response.status_code, kind, response.content
    body = without_times(json.loads(TIME.sub("TIME", ID.sub("ID", response.text))))
    return response.status_code, kind, body


def check_equal(pair: Pair, ask: Ask, status: int, calls: int = 1) -> httpx.Response:
    """Check that both services answer the same, and that replicas did the work.

    Args:
        pair: the services.
        ask: the request.
        status: the expected status.
        calls: number of calls that replicas got.

    Returns:
        The answer of the service with replicas.
    """
    before = len(pair.replicas.calls)
    expected, answer = ask(pair.plain), ask(pair.remote)
    assert seen(answer) == seen(expected)
    assert answer.status_code == status, answer.text
    assert len(pair.replicas.calls) - before == calls
    return answer


DARK = picture(bright=False)
NO_IMAGE = bytes(range(200, 256)) * 4
PNG, JPEG_ONLY = {"Accept": "image/png"}, {"Accept": "image/jpeg"}
GOOD = {
    "detect": post("/detect?max_faces=1", picture()),
    "detect: no face": post("/detect", DARK),
    "detect: PNG": post("/detect", picture(), headers=PNG),
    "detect: JPEG": post("/detect?threshold=0.9", picture(), headers=JPEG_ONLY),
    "landmarks": post("/landmarks", picture()),
    "landmarks: PNG": post("/landmarks?model=other-points", picture(), headers=PNG),
    "landmarks: JPEG": post("/landmarks", picture(), headers=JPEG_ONLY),
    "landmarks: no face, PNG": post("/landmarks", DARK, headers=PNG),
    "landmarks: boxes": form("/landmarks", DARK, boxes=[RIGHT, LEFT]),
    "landmarks: no boxes": form("/landmarks", picture(), boxes=[]),
    "embed": post("/embed?model=other-vectors", picture()),
    "embed: JSON, boxes": as_json("/embed", DARK, boxes=[LEFT]),
    "orientation": post("/detect?orientation=auto", picture()),
    "verify": pair_form("", picture(), picture(300, 200)),
    "verify: far": pair_form("?far=0.01&orientation=auto", picture(), picture(300, 200)),
}
BAD = {
    "no image": (post("/detect", NO_IMAGE), 422),
    "truncated": (post("/embed", picture(600, 600)[:3000]), 422),
    "too many pixels": (post("/detect", picture(2000, 1001)), 413),
    "small faces": (post("/detect?min_face_size=12&max_faces=9", picture(1700, 1100)), 200),
    "unknown detector": (post("/detect?model=nobody", picture()), 422),
    "unknown landmarks": (post("/landmarks?model=nobody", picture()), 422),
    "unknown embedder": (post("/embed?model=nobody", picture()), 422),
    "pose": (post("/detect?pose=true", picture()), 422),
    "quality": (post("/detect?quality=true", picture()), 422),
    "too many faces": (post("/detect?max_faces=1001", picture()), 422),
    "box outside": (form("/landmarks", picture(), boxes=[[500, 500, 600, 600]]), 422),
    "verify: no face": (pair_form("", picture(), DARK), 422),
    "verify: no image": (pair_form("", NO_IMAGE, picture()), 422),
    "verify: threshold": (pair_form("?far=0.5", picture(), picture()), 422),
    "verify: unknown": (pair_form("?model=nobody", picture(), picture()), 422),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_image(fake: Pair, name: str) -> None:
    check_equal(fake, GOOD[name], 200)


@pytest.mark.parametrize("name", BAD)
def test_a_problem(fake: Pair, name: str) -> None:
    ask, status = BAD[name]
    check_equal(fake, ask, status)


def test_a_bad_parameter_is_not_sent(fake: Pair) -> None:
    check_equal(fake, post("/detect?threshold=x", picture()), 422, calls=0)


def test_a_drawing_of_a_long_image(fake: Pair) -> None:
    image = picture(66_000, 20, format="PNG")
    check_equal(fake, post("/detect", image, headers=JPEG_ONLY), 422)


@pytest.mark.parametrize("task", ["detect", "landmarks", "embed"])
def test_a_batch(fake: Pair, task: str) -> None:
    images = (picture(), NO_IMAGE, DARK, picture(90, 60))
    check_equal(fake, form(f"/{task}/batch?max_faces=2", *images), 200, calls=4)


def test_clusters(fake: Pair) -> None:
    images = (picture(), picture(300, 200), NO_IMAGE, DARK)
    check_equal(fake, form("/cluster?threshold=0.9", *images), 200, calls=4)
    check_equal(fake, form("/cluster?model=nobody", *images), 422, calls=0)


def story(client: httpx.Client) -> Iterator[httpx.Response]:
    """Yield the answers to requests for a gallery, each of which depends on the ones before."""
    base = "/collections/staff"
    yield client.put(base)
    made = client.post(f"{base}/people", json={"name": "Ada"})
    yield made
    person = f"{base}/people/{made.json()['id']}"
    faces, identify, verify = f"{person}/faces", f"{base}/identify", f"{person}/verify"
    asks: list[Ask] = [
        post(verify, picture()),  # the person has no face yet
        form(faces, picture(), NO_IMAGE, DARK),
        form(f"{faces}?faces=one", picture(300, 200)),
        form(f"{faces}?faces=one", picture(300, 200), box=RIGHT),
        as_json(faces, picture(), box=dict(zip(("x1", "y1", "x2", "y2"), LEFT, strict=True))),
        as_json(faces, picture(), box=[500, 500, 600, 600]),
        lambda client: client.get(faces),
        post(f"{identify}?threshold=0.9&top=3", picture()),
        post(identify, picture(), headers=PNG),
        post(identify, DARK),
        post(f"{identify}?threshold=0.9&fpir=0.1", picture()),
        post(verify, picture()),
        post(f"{verify}?far=0.01&orientation=auto", picture()),
        post(verify, DARK),
        post(f"{base}/people/{'0' * 32}/verify", picture()),
    ]
    for ask in asks:
        yield ask(client)


def test_the_gallery(fake: Pair) -> None:
    fake.replicas.calls.clear()
    expected, answers = list(story(fake.plain)), list(story(fake.remote))
    for number, (one, other) in enumerate(zip(answers, expected, strict=True)):
        assert seen(one) == seen(other), number
    assert set(fake.replicas.calls) == {"compared_faces"}
    assert len(fake.replicas.calls) == 13
    statuses = [answer.status_code for answer in answers]
    assert statuses == [201, 201, 422, *[200] * 7, 406, 200, 422, 200, 200, 422, 404]


REAL = {
    "detect": post("/detect?pose=true&quality=true", EXAMPLE),
    "turned": post("/detect?orientation=auto", written(opened("obama.jpg").resize((300, 400)).rotate(90))),
    "landmarks": post("/landmarks?pose=true", EXAMPLE),
    "embed": post("/embed?quality=true", EXAMPLE),
    "small faces": post("/detect?min_face_size=13", written(opened("obama.jpg").resize((1300, 1500)))),
    "batch": form("/embed/batch?model=sface", EXAMPLE, written(opened("biden.jpg").resize((300, 400)))),
    "verify": pair_form(
        "", *(written(opened(name).resize((300, 400))) for name in ("obama.jpg", "obama2.jpg"))
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_models(real: Pair, name: str) -> None:
    expected, answer = REAL[name](real.plain), REAL[name](real.remote)
    assert seen(answer) == seen(expected)


def test_the_times(fake: Pair) -> None:
    for path, extra in (
        ("/detect", set()),
        ("/landmarks", {"align", "landmarks"}),
        ("/embed", {"align", "embed"}),
    ):
        times = fake.remote.post(path, content=picture(), headers=JPEG).json()["timing_ms"]
        assert set(times) == {"queue", "replica", "decode", "fake", "total"} | extra
        total = times.pop("total")
        assert sum(times.values()) == pytest.approx(total, abs=1)
        assert times["decode"] > 0
    times = pair_form("", picture(), picture())(fake.remote).json()["timing_ms"]
    assert {"replica", "decode", "embed"} < set(times)


def test_the_metrics(fake: Pair) -> None:
    fake.remote.post("/embed", content=picture(), headers=JPEG)
    told = samples(fake.remote.get("/metrics").text)
    for stage in ("queue", "replica", "decode", "fake", "align", "embed", "total"):
        assert told[f"face_stage_seconds_count stage={stage}"] >= 1, stage


def test_the_models(fake: Pair) -> None:
    ask = partial(httpx.Client.get, url="/models")
    check_equal(fake, ask, 200, calls=0)


def test_without_a_replica(tmp_path: Path) -> None:
    settings = Settings(gallery=str(tmp_path / "gallery.db"))
    with with_replicas(settings, fake_analyzer()) as (client, replicas):
        assert client.get("/readyz").status_code == 200
        replicas.is_lost = True
        problem(client.get("/readyz"), 503, "not-ready")
        problem(client.post("/detect", content=picture(), headers=JPEG), 503, "not-ready")
        replicas.is_lost = False
        assert client.post("/detect", content=picture(), headers=JPEG).status_code == 200
    assert replicas.is_closed
