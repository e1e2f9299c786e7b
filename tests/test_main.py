import asyncio
import logging
import signal
import threading
from pathlib import Path

import pytest

from app.errors import BadModel, DeviceUnavailable
from app.main import create_app
from app.pipeline.analyzer import Analyzer
from app.runtime.model_store import LoadedModel
from app.settings import Settings
from app.wiring import limits_of, load_analyzer
from tests.api.pictures import picture, problem
from tests.fakes import cascade, embedder, fake_analyzer, landmarker
from tests.processes import EXAMPLE, SERVE, is_ready, process
from tests.servers import client_of, http, serving, until


def test_the_settings_limits_reach_the_service() -> None:
    settings = Settings(max_image_bytes=5000, max_image_pixels=6000, max_faces=7, max_boxes=8)
    limits = limits_of(settings)
    assert (limits.image_bytes, limits.image_pixels, limits.faces, limits.boxes) == (5000, 6000, 7, 8)


def test_nothing_is_loaded_before_the_app_starts(tmp_path: Path) -> None:
    app = create_app(Settings(models_dir=tmp_path))
    assert app.state.service.failure is None


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"models_dir": Path("tests/photos")}, BadModel),
        ({"models": frozenset({"nobody"})}, BadModel),
        ({"device": "tensorrt"}, DeviceUnavailable),
    ],
)
def test_a_store_that_cannot_be_opened(settings: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        load_analyzer(Settings(**settings))  # type: ignore[arg-type]


def test_a_failed_start_gives_up_and_never_gets_ready(tmp_path: Path) -> None:
    app = create_app(Settings(models_dir=tmp_path))
    gave_up = threading.Event()

    async def main() -> None:
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(gave_up.wait, 30)

    app.state.give_up = gave_up.set
    asyncio.run(main())
    assert gave_up.is_set()
    assert "manifest.json" in app.state.service.failure.detail


def test_a_warm_up_that_fails_is_a_failed_start() -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect")

    app = create_app(Settings(), fake_analyzer(defect))
    with serving(app, wait=False) as url:
        until(lambda: app.state.service.failure is not None)
        assert "a defect" in app.state.service.failure.detail
        problem(http.get(f"{url}/readyz"), 503, "not-ready")


@pytest.mark.parametrize(
    ("models", "missing"),
    [
        ([cascade()], {"/landmarks": "landmarks", "/embed": "embed", "/verify": "embed"}),
        ([cascade(), embedder()], {"/landmarks": "landmarks"}),
        ([cascade(), landmarker()], {"/embed": "embed", "/verify": "embed"}),
    ],
    ids=["detector", "detector-embedder", "detector-landmarks"],
)
def test_a_task_may_have_no_model(models: list[LoadedModel], missing: dict[str, str]) -> None:
    app = create_app(Settings(), Analyzer(models))
    with serving(app) as url, client_of(url) as client:
        assert client.get("/readyz").status_code == 200
        listed = client.get("/models").json()["models"]
        assert [(m["name"], m["default"]) for m in listed] == [(m.entry.name, True) for m in models]
        assert client.post("/detect", files={"image": picture()}).status_code == 200
        for address, task in missing.items():
            batches = [f"{address}/batch"] if address != "/verify" else []
            for route in (address, f"{address}?model=nobody", *batches):
                names = ("image_a", "image_b") if address == "/verify" else ("image",)
                response = client.post(route, files={name: picture() for name in names})
                body = problem(response, 422, "unknown-model", "model")
                assert body["known"] == []
                assert task in body["detail"]
        for address in {"/landmarks", "/embed"} - set(missing):
            assert client.post(address, files={"image": picture()}).status_code == 200
            assert client.post(f"{address}/batch", files={"image": picture()}).status_code == 200


@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [
        ({"cascade"}, {"cascade"}),
        ({"cascade", "fused"}, {"cascade", "fused", "sface", "dlib", "mesh68"}),
    ],
)
def test_the_real_models_of_some_tasks(chosen: set[str], loaded: set[str]) -> None:
    settings = Settings(models=frozenset(chosen), device="cpu")
    with serving(create_app(settings)) as url, client_of(url) as client:
        listed = client.get("/models").json()["models"]
        assert {model["name"] for model in listed} == loaded
        assert {model["name"] for model in listed if model["default"]} == loaded - {"sface", "dlib"}
        files = {"image": EXAMPLE}
        assert len(client.post("/detect", files=files).json()["faces"]) == 1
        if "fused" in loaded:
            assert client.post("/landmarks", files=files).json()["model"] == "mesh68"
            assert client.post("/embed", files=files).json()["model"] == "fused"
            pair = {"image_a": EXAMPLE, "image_b": EXAMPLE}
            assert client.post("/verify", files=pair).json()["verified"] is True
        else:
            for route in ("/landmarks", "/landmarks/batch", "/embed"):
                assert problem(client.post(route, files=files), 422, "unknown-model", "model")["known"] == []


def test_without_a_detector_the_start_fails_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(models=frozenset({"landmarks15", "triplet"}), device="cpu"))
    with serving(app, wait=False) as url:
        until(lambda: app.state.service.failure is not None)
        problem(http.get(f"{url}/readyz"), 503, "not-ready")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.startswith("cannot start: No detector is loaded")


def test_readiness_says_that_worker_processes_are_missing() -> None:
    app = create_app(Settings(), fake_analyzer())
    with serving(app) as url, client_of(url) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        app.state.service.is_degraded = True
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded"})


def test_keys_are_replaced_while_the_service_runs() -> None:
    old, new = "old-key-of-some-length", "new-key-of-some-length"
    app = create_app(Settings(api_keys=frozenset({old})), fake_analyzer())
    with serving(app) as url, client_of(url) as client:
        assert client.get("/models", headers={"x-api-key": old}).status_code == 200
        app.state.keys.replace({new})
        assert client.get("/models", headers={"x-api-key": old}).status_code == 401
        assert client.get("/models", headers={"x-api-key": new}).status_code == 200


def test_the_whole_process() -> None:
    """`python -m app serve`: it logs its address, becomes ready, and ends on SIGTERM."""
    with process(*SERVE, models="cascade,fused") as (running, url, lines):
        assert url
        until(lambda: is_ready(url))
        response = http.post(f"{url}/detect", files={"image": EXAMPLE}, timeout=30)
        assert len(response.json()["faces"]) == 1
        assert "server" not in response.headers
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) in (0, -signal.SIGTERM), lines
