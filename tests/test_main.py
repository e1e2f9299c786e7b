import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from app.errors import BadModel, DeviceUnavailable
from app.main import create_app, limits_of, load_analyzer
from app.settings import Settings
from tests.api.pictures import problem
from tests.fakes import fake_analyzer
from tests.servers import serving, until


def test_the_settings_limits_reach_the_service() -> None:
    settings = Settings(max_image_bytes=5000, max_image_pixels=6000, max_faces_limit=7, max_boxes=8)
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
        problem(httpx.get(f"{url}/readyz"), 503, "not-ready")


def test_the_whole_process() -> None:
    """`python -m app serve`: it says where it listens, gets ready, and ends on SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", "--device", "cpu"],
        env=dict(os.environ),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        url = ""
        for text in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", text):
                url = found.group()
                break
        assert url
        until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        files = {"image": Path("app/api/example.jpg").read_bytes()}
        assert len(httpx.post(f"{url}/detect", files=files, timeout=30).json()["faces"]) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()
