import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.metrics import Metrics
from app.api.transport.memory_budget import MemoryBudget
from app.gallery.gallery import Gallery
from app.gallery.index import VectorIndex
from app.gallery.records import PersonDetails
from app.gallery.sqlite_store import SqliteStore
from app.main import create_app
from app.runtime.search_net import SearchSession
from app.runtime.telemetry import Telemetry
from app.settings import Settings
from tests.api.pictures import picture
from tests.fakes import CPU, fake_analyzer
from tests.servers import client_of, serving


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(metrics: Metrics) -> dict[str, float]:
    return samples(metrics.text().decode())


@pytest.fixture
def counted() -> Iterator[httpx.Client]:
    """A client of a service that has counted nothing yet."""
    with (
        serving(create_app(Settings(max_queue=7), fake_analyzer())) as url,
        client_of(url) as client,
    ):
        yield client


def scrape(client: httpx.Client) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(response.text)


def test_it_is_telemetry() -> None:
    metrics = Metrics(MemoryBudget(1))
    assert isinstance(metrics, Telemetry)
    metrics.stage("decode", 0.02)
    metrics.batch("sface", "embedder", 2, 5)
    metrics.queue_depth(3, 4)
    metrics.rejected("deadline")
    metrics.faces(2)
    metrics.device_memory_exhausted("mtcnn", "pnet", 64)
    metrics.gallery_size(1, 2, 3)
    metrics.gallery_action("add-face")
    metrics.identified(2, 1)
    told = of(metrics)
    assert told["face_stage_seconds_sum stage=decode"] == 0.02
    assert told["face_stage_seconds_bucket le=0.01 stage=decode"] == 0
    assert told["face_stage_seconds_bucket le=0.025 stage=decode"] == 1
    assert told["face_batch_items_sum model=sface net=embedder"] == 5
    assert told["face_batch_requests_sum model=sface net=embedder"] == 2
    assert (told["face_queue_depth"], told["face_queue_running"]) == (3, 4)
    assert told["face_rejected_total reason=deadline"] == 1
    assert told["face_faces_total"] == told["face_faces_per_answer_sum"] == 2
    assert told["face_device_memory_exhausted_total model=mtcnn net=pnet"] == 1
    size = [told[f"face_gallery_{kind}"] for kind in ("collections", "people", "faces")]
    assert size == [1, 2, 3]
    assert told["face_gallery_changes_total action=add-face"] == 1
    assert told["face_gallery_identified_total result=known"] == 2
    assert told["face_gallery_identified_total result=unknown"] == 1


def test_a_gallery_is_usable_until_it_is_not() -> None:
    metrics = Metrics(MemoryBudget(1))
    told = of(metrics)
    assert (told["face_gallery_usable"], told["face_gallery_erasing"]) == (1, 0)
    metrics.gallery_state(usable=False, erasing=True)
    told = of(metrics)
    assert (told["face_gallery_usable"], told["face_gallery_erasing"]) == (0, 1)


def test_requests_are_counted_by_route_and_status(counted: httpx.Client) -> None:
    counted.post("/detect?max_faces=1", files={"image": picture()})
    counted.post("/detect", files={"image": b"nothing"})
    counted.post("/embed/batch", files=[("image", picture()), ("image", picture())])
    counted.get("/problems/no-face")
    counted.get("/problems/overloaded")
    counted.get("/nowhere/1")
    counted.get("/nowhere/2")
    counted.request("BREW", "/livez")
    told = scrape(counted)
    count = "face_requests_total method={} route={} status={}"
    assert told[count.format("POST", "/detect", 200)] == 1
    assert told[count.format("POST", "/detect", 422)] == 1
    assert told[count.format("POST", "/embed/batch", 200)] == 1
    assert told[count.format("GET", "/problems/{name}", 200)] == 2
    assert told[count.format("GET", "other", 404)] == 2
    assert told[count.format("other", "/livez", 405)] == 1
    assert told["face_problems_total type=not-an-image"] == 1
    assert told["face_request_seconds_count route=/detect"] == 2
    assert told["face_requests_in_progress"] == 1  # this one


def test_no_caller_makes_new_series(counted: httpx.Client) -> None:
    counted.get("/livez")
    scrape(counted)
    before = set(scrape(counted))
    for i in range(30):
        counted.get(f"/nowhere-{i}")
        counted.get(f"/docs/assets/{i}")
        counted.request(f"M{i}", "/livez")
        counted.post(f"/detect?model=m{i}", files={"image": picture()})
    new = {
        re.sub(r" le=\S+", "", name).replace("_bucket", "_count") for name in set(scrape(counted)) - before
    }
    assert new == {
        "face_requests_total method=GET route=other status=404",
        "face_requests_total method=POST route=/detect status=422",
        "face_requests_total method=other route=/livez status=405",
        *(
            f"face_request_seconds_{kind} route={route}"
            for kind in ("count", "sum")
            for route in ("other", "/detect")
        ),
        *(
            f"face_problems_total type={kind}"
            for kind in ("method-not-allowed", "not-found", "unknown-model")
        ),
    }


def test_the_work_is_told_of(counted: httpx.Client) -> None:
    counted.post("/embed", files={"image": picture()})
    told = scrape(counted)
    for stage in ("queue", "decode", "embed", "total"):
        assert told[f"face_stage_seconds_count stage={stage}"] == 1, stage
    assert told["face_faces_total"] == 2
    assert told["face_queue_depth"] == told["face_queue_running"] == 0
    assert told["face_queue_capacity"] == 7


def test_what_runs(counted: httpx.Client) -> None:
    told = scrape(counted)
    models = {name for name in told if name.startswith("face_model_info")}
    assert "face_model_info default=true model=vectors provider=CPUExecutionProvider task=embed" in models
    assert len(models) == 5
    assert told["face_ready"] == 1
    assert told["face_connections"] >= 1
    assert told["face_body_bytes"] == 0
    assert told["face_cpu_seconds_total"] > 0
    version = counted.get("/version").json()["version"]
    assert any(f"version={version}" in name for name in told if name.startswith("face_build_info"))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_resident_memory(counted: httpx.Client) -> None:
    assert 10e6 < scrape(counted)["face_resident_memory_bytes"] < 100e9


def test_the_reference_lists_every_metric_and_no_other(counted: httpx.Client) -> None:
    families = text_string_to_metric_families(counted.get("/metrics").text)
    found = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    found |= {"face_workers_wanted", "face_worker_restarts_total"}  # of the supervisor of several workers
    page = Path("docs/reference/metrics.md").read_text(encoding="utf-8")
    assert found == set(re.findall(r"^\| `(face_\w+)`", page, re.MULTILINE))


def test_workers_count_together_and_the_dead_are_forgotten(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from app.api.transport.memory_budget import MemoryBudget\n"
        "from app.api.metrics import Metrics\n"
        "metrics = Metrics(MemoryBudget(1))\n"
        "metrics.request_started()\n"
        "metrics.faces(3)\n"
        "metrics.queue_depth(2, 1)\n"
        "print(metrics.text().decode())\n"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker() -> dict[str, float]:
        run = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=240, check=True
        )
        return samples(run.stdout)

    assert worker()["face_faces_total"] == 3
    second = worker()
    assert second["face_faces_total"] == 6  # what the dead one did was done
    assert second["face_queue_depth"] == 2  # but it waits for nothing any more
    assert second["face_requests_in_progress"] == 1


@pytest.fixture
def gallery_file(tmp_path: Path) -> Path:
    return tmp_path / "gallery" / "gallery.db"


@pytest.fixture
def with_gallery(gallery_file: Path) -> Iterator[httpx.Client]:
    """A client of a service with an empty gallery of at most ten faces."""
    settings = Settings(gallery=str(gallery_file), max_gallery_faces=10)
    with serving(create_app(settings, fake_analyzer())) as url, client_of(url) as client:
        yield client


def until(client: httpx.Client, name: str, value: float) -> dict[str, float]:
    """Return the metrics as soon as one of them has this value."""
    end = time.monotonic() + 20
    while (told := scrape(client)).get(name) != value:
        assert time.monotonic() < end, told.get(name)
        time.sleep(0.05)
    return told


def test_the_gallery_is_told_of(with_gallery: httpx.Client) -> None:
    told = scrape(with_gallery)
    assert (told["face_gallery_capacity"], told["face_gallery_faces"], told["face_gallery_usable"]) == (
        10,
        0,
        1,
    )
    with_gallery.put("/collections/family")
    with_gallery.put("/collections/friends")
    person = with_gallery.post("/collections/family/people").json()["id"]
    people = "/collections/family/people"
    images = [("image", picture()), ("image", picture())]  # the second is a duplicate
    with_gallery.post(f"{people}/{person}/faces", files=images)
    for threshold in (-1, 1):  # two faces, of which one is the person, and two strangers
        with_gallery.post(
            f"/collections/family/identify?threshold={threshold}", files={"image": picture(bright=True)}
        )
    told = until(with_gallery, "face_gallery_faces", 1)
    assert (told["face_gallery_collections"], told["face_gallery_people"]) == (2, 1)
    changes = {
        name.removeprefix("face_gallery_changes_total action="): value
        for name, value in told.items()
        if name.startswith("face_gallery_changes_total")
    }
    assert changes == {"create-collection": 2, "add-person": 1, "add-face": 1}
    results = [told[f"face_gallery_identified_total result={result}"] for result in ("known", "unknown")]
    assert sum(results) == 4
    assert results[0] >= 1
    assert results[1] >= 1
    assert told["face_stage_seconds_count stage=search"] == 2
    assert told["face_stage_seconds_count stage=store"] == 2
    with_gallery.get("/collections/family/export")
    with_gallery.delete(f"{people}/{person}")
    told = until(with_gallery, "face_gallery_people", 0)
    assert told["face_gallery_faces"] == 0
    assert told["face_gallery_changes_total action=export"] == 1
    assert told["face_gallery_changes_total action=delete-person"] == 1


def test_a_file_that_cannot_be_used_is_told_of_until_it_can(
    with_gallery: httpx.Client, gallery_file: Path
) -> None:
    gallery_file.parent.write_bytes(b"a file in place of the folder")
    assert with_gallery.put("/collections/family").status_code == 503
    told = until(with_gallery, "face_gallery_usable", 0)
    assert told["face_problems_total type=gallery-unavailable"] == 1
    gallery_file.parent.unlink()
    until(with_gallery, "face_gallery_usable", 1)  # without another request to the gallery
    assert with_gallery.put("/collections/family").status_code == 201


class BusyStore(SqliteStore):
    """A store whose file another process may read."""

    is_read = False

    def erase(self, timeout_s: float) -> bool:
        return not self.is_read and super().erase(timeout_s)


def test_an_erasure_that_has_to_wait_is_told_of(tmp_path: Path) -> None:
    metrics = Metrics(MemoryBudget(1))
    store = BusyStore(tmp_path / "gallery.db")
    search = SearchSession(CPU, metrics)
    gallery = Gallery(
        lambda: store,
        lambda dimension: VectorIndex(dimension, search),
        {"fused": "fused-1"},
        telemetry=metrics,
    )
    gallery.create_collection("family", "fused", 4)
    person = gallery.add_person("family", PersonDetails())
    gallery.tick()
    assert of(metrics)["face_gallery_erasing"] == 0
    store.is_read = True
    assert not gallery.delete_person("family", person.id)
    gallery.tick()
    told = of(metrics)
    assert (told["face_gallery_erasing"], told["face_gallery_usable"]) == (1, 1)
    store.is_read = False
    gallery.tick()
    assert of(metrics)["face_gallery_erasing"] == 0
    gallery.close()


def test_without_a_gallery_its_capacity_is_0() -> None:
    with (
        serving(create_app(Settings(gallery="off"), fake_analyzer())) as url,
        client_of(url) as client,
    ):
        told = scrape(client)
        assert (told["face_gallery_capacity"], told["face_gallery_usable"]) == (0, 1)


def test_workers_report_one_gallery(tmp_path: Path) -> None:
    """Two workers that live at the same time: sizes are the latest, and the worst state counts."""
    program = (
        "import sys\n"
        "from app.api.transport.memory_budget import MemoryBudget\n"
        "from app.api.metrics import Metrics\n"
        "metrics = Metrics(MemoryBudget(1))\n"
        "faces, usable = int(sys.argv[1]), sys.argv[2] == 'usable'\n"
        "if faces:\n"
        "    metrics.gallery_size(1, 2, faces)\n"
        "metrics.gallery_state(usable, not usable)\n"
        "metrics.gallery_action('add-face')\n"
        "print('set', flush=True)\n"
        "input()\n"
        "print(metrics.text().decode())\n"
    )
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = []
    for arguments in (
        ("7", "usable"),
        ("5", "broken"),
        ("0", "usable"),
    ):  # the last has not read the gallery yet
        worker = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "set\n"
    told = samples(workers[0].communicate("\n", timeout=240)[0])
    for worker in workers[1:]:
        worker.communicate("\n", timeout=240)
    assert (told["face_gallery_faces"], told["face_gallery_people"]) == (5, 2)
    assert (told["face_gallery_usable"], told["face_gallery_erasing"]) == (0, 1)
    assert told["face_gallery_changes_total action=add-face"] == 3
