"""What tests of the console do with its pages: photos, dropping and pasting them."""

import base64
from collections.abc import Sequence
from typing import Literal

import httpx
import numpy as np
from PIL import Image as Pil
from playwright.sync_api import FilePayload, Page, expect

from tests.api.pictures import written

Colour = tuple[int, int, int]

RED, GREEN, BLUE, ORANGE = (220, 40, 40), (40, 220, 40), (40, 40, 220), (220, 120, 40)
"""Colours of faces. The fake embedder takes red and orange for one person."""

NOT_AN_IMAGE: FilePayload = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no image"}


def photo(name: str, left: Colour, right: Colour | None = None) -> FilePayload:
    """A photo in which the fake detector finds two faces of these colours; the left one is larger."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[:, :100], pixels[:, 100:] = left, right or left
    return {"name": name, "mimeType": "image/png", "buffer": written(Pil.fromarray(pixels))}


def visit(page: Page, url: str) -> None:
    """Load a view anew, and wait until it is shown.

    A change of the fragment alone loads nothing: the view before it would be there for a moment.
    """
    page.goto("about:blank")
    page.goto(url)
    expect(page.locator("#main > .view")).to_have_count(1)
    expect(page.locator(".loading")).to_have_count(0)


def give(page: Page, event: Literal["drop", "paste"], *photos: FilePayload) -> None:
    """Drop photos on the field for photos, once the view has one, or paste them into the page."""
    expect(page.locator(".drop").last).to_be_visible()
    content = [[f["name"], f["mimeType"], base64.b64encode(f["buffer"]).decode()] for f in photos]
    page.evaluate(
        """([kind, files]) => {
            const data = new DataTransfer();
            for (const [name, type, content] of files) {
                const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
                data.items.add(new File([bytes], name, { type }));
            }
            const options = { bubbles: true, cancelable: true };
            if (kind === "drop") {
                const field = [...document.querySelectorAll(".drop")].at(-1);
                field.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
            } else document.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
        }""",
        [event, content],
    )


def choose(page: Page, label: str, photos: Sequence[FilePayload]) -> None:
    """Choose photos in the field that has the label."""
    page.get_by_label(label).set_input_files(list(photos))


def person(http: httpx.Client, name: str, *colours: tuple[int, int, int], collection: str = "family") -> str:
    """Add a person with faces of these colours; return the id."""
    http.put(f"/collections/{collection}")
    created = http.post(f"/collections/{collection}/people", json={"name": name}).json()
    files = [("image", photo("x.png", colour)["buffer"]) for colour in colours]
    if files:
        http.post(f"/collections/{collection}/people/{created['id']}/faces", files=files).raise_for_status()
    identity: str = created["id"]
    return identity


def faces_of(http: httpx.Client, name: str, collection: str = "family") -> int:
    """The number of faces of the people of this name."""
    people = http.get(f"/collections/{collection}/people", params={"name": name}).json()["people"]
    return sum(one["faces"] for one in people)


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)
