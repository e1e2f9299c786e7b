"""Write the screenshots of the console that the documentation shows.

    .venv/bin/python -m scripts.console_pictures

It starts the service with the default models and an empty gallery, enrols people from tests/photos, and
uses the console in Chromium as the guide describes.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Page, sync_playwright

IMAGES = Path("docs/images")

PHOTOS = Path("tests/photos")

_PORTRAITS = ("obama2.jpg", "biden.jpg", "astronaut.png")
_HEIGHT = 800


def group_photo() -> FilePayload:
    """Return one photo with three people: the upper parts of three portraits side by side."""
    parts = []
    for name in _PORTRAITS:
        with Image.open(PHOTOS / name) as image:
            upper = image.convert("RGB").crop((0, 0, image.width, min(image.height, int(image.width * 1.1))))
            parts.append(upper.resize((_HEIGHT * upper.width // upper.height, _HEIGHT)))
    group = Image.new("RGB", (sum(part.width for part in parts), _HEIGHT))
    left = 0
    for part in parts:
        group.paste(part, (left, 0))
        left += part.width
    out = io.BytesIO()
    group.save(out, "JPEG", quality=92)
    return {"name": "group.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


@contextmanager
def service() -> Iterator[str]:
    """Run the service with an empty gallery.

    Yields:
        Its address.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FACE_GALLERY": f"{folder}/gallery.db"}
        command = [sys.executable, "-m", "app", "serve", "--port", "0", "--device", "cpu"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield _address(process)
            finally:
                process.terminate()
                process.communicate()


def _address(process: "subprocess.Popen[str]") -> str:
    address = ""
    for line in process.stderr or ():
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        address = found.group() if found else address
        if address and "ready: " in line:
            return address
    raise RuntimeError("The service did not start.")


def save(page: Page, name: str, height: int | None = None) -> None:
    """Write a screenshot of the page, or of its upper part."""
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as image:
        image.crop((0, 0, image.width, min(image.height, height or image.height))).save(
            IMAGES / f"console-{name}.webp", quality=82, method=6
        )
    print(IMAGES / f"console-{name}.webp")


def take(page: Page, url: str) -> None:
    """Use the views one after the other, and write their screenshots."""
    photos = {path.name: path for path in PHOTOS.iterdir()}
    field = page.locator("input[type=file]")
    page.goto(f"{url}/#/try/landmarks")
    field.set_input_files(photos["astronaut.png"])
    page.get_by_role("heading", name="1 face").wait_for()
    save(page, "try")

    page.goto(f"{url}/#/people")
    page.get_by_role("button", name="New collection").first.click()
    page.get_by_label("Name").fill("presidents")
    page.get_by_role("button", name="Create").click()
    for name, files in (
        ("Barack Obama", ("obama.jpg", "obama_partial_face.jpg")),
        ("Joe Biden", ("biden.jpg",)),
    ):
        page.get_by_role("button", name="Add a person").click()
        page.get_by_role("textbox", name="Name").fill(name)
        page.get_by_role("dialog").locator("input[type=file]").set_input_files(
            [photos[file] for file in files]
        )
        page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
        page.get_by_role("heading", name=name).wait_for()
        if name == "Barack Obama":
            page.locator(".notice").wait_for(state="detached")
            save(page, "person")
        page.get_by_role("link", name="presidents").click()

    page.goto(f"{url}/#/identify/presidents")
    field.set_input_files([group_photo()])
    page.get_by_role("heading", name="2 of 3 recognised").wait_for()
    page.locator(".notice").wait_for(state="detached")
    save(page, "identify")

    page.goto(f"{url}/#/clusters")
    field.set_input_files(
        [photos[name] for name in ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png")]
    )
    field.set_input_files([group_photo()])
    page.get_by_role("button", name="Group the faces").click()
    page.locator(".group").first.wait_for()
    page.wait_for_timeout(1000)  # the photos are decoded
    page.get_by_label("Name of Group 1").fill("Barack Obama")
    save(page, "clusters")


def main() -> None:
    """Write the screenshots.

    Raises:
        SystemExit: there is no browser.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium was not found. Install it (Debian: the package chromium).")
    with service() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1180, "height": 720}, reduced_motion="reduce")
        take(page, url)
        browser.close()


if __name__ == "__main__":
    main()
