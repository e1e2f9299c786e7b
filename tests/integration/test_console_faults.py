"""The console when requests fail, answers arrive late or names are equal; the nets are fake."""

from io import BytesIO

import httpx
import pytest
from PIL import Image as Pil
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.integration.browser import OpenPage
from tests.integration.console import (
    BLUE,
    GREEN,
    NOT_AN_IMAGE,
    ORANGE,
    RED,
    faces_of,
    give,
    heading,
    person,
    photo,
    visit,
)

pytestmark = pytest.mark.integration

NOTES: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"text"}
HEBREW = "\u05de\u05e8\u05d9\u05dd"


def notice(page: Page, text: str) -> None:
    expect(page.locator(".notice").filter(has_text=text)).to_have_count(1)


def move_to(page: Page, name: str) -> None:
    """Choose a person in the dialog that moves a face."""
    page.get_by_role("combobox", name="Other person").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Move").click()


def test_people_of_one_name_are_told_apart(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    bob = person(http, "Bob", RED, ORANGE, BLUE)
    person(http, "Ann", GREEN)
    other = person(http, "Ann")
    for number in range(25):
        person(http, f"Lia {number}")
    person(http, "Li")
    person(http, HEBREW)
    page = open_page(f"{url}/#/people/family/{bob}")
    page.get_by_role("button", name="Move").first.click()
    move_to(page, "Ann")
    expect(page.get_by_role("alert")).to_contain_text("Several people are called Ann.")
    move_to(page, f"Ann ({other[:8]})")
    notice(page, "The face belongs to Ann now.")
    page.get_by_role("button", name="Move").first.click()
    move_to(page, "Li")  # the first suggestions are others, whose names contain it
    notice(page, "The face belongs to Li now.")
    page.get_by_role("button", name="Move").first.click()
    move_to(page, HEBREW)
    notice(page, f"The face belongs to \u2068{HEBREW}\u2069 now.")
    faces = [http.get(f"/collections/family/people/{one}").json()["faces"] for one in (bob, other)]
    assert faces == [0, 1]
    for _ in range(2):
        person(http, "Ann", collection="twins")
    visit(page, f"{url}/#/identify/twins")
    heading(page, "Identify")
    give(page, "drop", photo("stranger.png", (220, 220, 40)))
    entry = page.locator("ol.faces > li").first
    entry.get_by_label("Name of this person").fill("Ann")
    entry.get_by_role("button", name="Add the face").click()
    notice(page, "Several people are called Ann.")
    assert http.get("/collections/twins").json()["people"] == 2  # no third Ann


def test_a_name_that_looks_like_a_place_in_the_json(
    url: str, http: httpx.Client, open_page: OpenPage
) -> None:
    person(http, "@0@", RED)
    person(http, "@99@", BLUE)
    page = open_page(f"{url}/#/identify/family")
    heading(page, "Identify")
    give(page, "drop", photo("two.png", RED, BLUE))
    expect(page.get_by_role("heading", name="2 of 2 recognised")).to_be_visible()
    page.get_by_text("Answer as JSON").click()
    for name in ("@0@", "@99@"):
        expect(page.locator("pre")).to_contain_text(f'"name": "{name}"')
    written = page.evaluate("""async () => {
        const { compactJson } = await import("/console/faces.js");
        return compactJson({ name: "@0@", short: [1, 2.5], long: [1, 2, 3, 4, 5, 6, 7, 8, 9] });
    }""")
    assert '"name": "@0@"' in written
    assert '"short": [1, 2.5]' in written
    assert '"long": [1, 2, 3, 4, 5, 6, ' in written


def test_strangers_of_a_photo_are_added_one_after_the_other(
    url: str, http: httpx.Client, open_page: OpenPage
) -> None:
    for collection in ("family", "work"):
        http.put(f"/collections/{collection}")
    page = open_page(f"{url}/#/identify/family")
    heading(page, "Identify")
    give(page, "drop", photo("two.png", RED, BLUE))
    names = page.get_by_label("Name of this person")
    expect(names).to_have_count(2)
    names.nth(0).fill("Bob")
    names.nth(1).fill("Bob")
    page.evaluate("document.querySelectorAll('.enrol button').forEach(button => button.click())")
    expect(page.get_by_text("The face is added to Bob.")).to_have_count(2)
    assert http.get("/collections/family").json()["people"] == 1
    assert faces_of(http, "Bob") == 2

    # The name that is entered for another face stays, and so does the focus.
    page.get_by_role("combobox", name="Collection").select_option("work")
    expect(page.get_by_role("heading", name="0 of 2 recognised")).to_be_visible()
    names.nth(0).fill("Ann")
    names.nth(1).fill("Cid")
    page.evaluate("document.querySelector('.enrol button').click()")
    expect(page.get_by_role("heading", name="1 of 2 recognised")).to_be_visible()
    expect(names.nth(0)).to_have_value("Ann")
    expect(names.nth(1)).to_have_value("Cid")
    expect(names.nth(1)).to_be_focused()
    page.get_by_label("Strangers taken for somebody").select_option("0.001")
    expect(page.locator(".loading")).to_have_count(0)
    expect(names.nth(1)).to_have_value("Cid")
    give(page, "drop", photo("two.png", RED, BLUE))
    expect(names.nth(1)).to_have_value("")


def test_groups_survive_a_failure_and_leaving(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    http.put("/collections/family")
    http.put("/collections/work")
    page = open_page(f"{url}/#/clusters", expected=("status of 500",))
    heading(page, "Clusters")
    give(page, "drop", photo("1.png", RED, BLUE), photo("2.png", ORANGE, GREEN))
    page.get_by_role("button", name="Group the faces").click()
    page.get_by_role("button", name="Add all named groups").click()
    notice(page, "Enter a name for at least one group first.")
    name = page.get_by_label("Name of Group 1", exact=True)
    add = page.get_by_role("button", name="Add to the collection: Group 1")
    name.fill("Ann")
    page.route("**/faces*", lambda route: route.fulfill(status=500, json={"title": "The disk is full"}))
    page.get_by_role("button", name="Add all named groups").click()
    expect(page.locator(".group").first).to_contain_text("The disk is full")
    notice(page, "0 of 1 named group is added.")
    assert http.get("/collections/family").json()["people"] == 0  # no person without a face is left

    broken = iter([True])
    page.route("**/faces*", lambda route: route.fulfill(status=500) if next(broken, 0) else route.continue_())
    add.click()
    expect(page.locator(".group").first).to_contain_text("Added: 1. Copies of stored faces: 0. Refused: 1.")
    expect(page.locator(".group .bad")).to_contain_text("1.png: ")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="People").click()
    heading(page, "People")
    page.go_back()
    expect(name).to_have_value("Ann")
    add.click()
    expect(page.locator(".group").first).to_contain_text("Added: 1. Copies of stored faces: 1. Refused: 0.")
    assert faces_of(http, "Ann") == 2

    # The people of one collection are not those of another one.
    page.get_by_role("combobox", name="Collection", exact=True).select_option("work")
    add.click()
    expect(page.locator(".group").first).to_contain_text("Added: 2.")
    assert [faces_of(http, "Ann", place) for place in ("family", "work")] == [2, 2]


def test_photos_are_added_in_order(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    ann = person(http, "Ann")
    page = open_page(f"{url}/#/people/family/{ann}")
    results = page.locator(".results li")
    heading(page, "Ann")
    first: list[Route] = []
    page.route(
        "**/faces*",
        lambda route: (
            first.append(route) if route.request.method == "POST" and not first else route.continue_()
        ),
    )
    give(page, "drop", photo("a.png", RED), NOT_AN_IMAGE)
    give(page, "drop", photo("b.png", GREEN))
    expect(results).to_have_count(3)
    first[0].continue_()
    for entry, start in zip(results.all(), ("a.png: added", "broken.png: ", "b.png: added"), strict=True):
        expect(entry).to_contain_text(start)
    expect(page.locator("ul.faces li")).to_have_count(2)
    give(page, "paste", photo("c.png", BLUE))
    expect(page.locator("ul.faces li")).to_have_count(3)
    expect(results).to_have_text(["c.png: added, quality none"])

    held: list[Route] = []
    page.route(
        "**/faces*", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    give(page, "drop", photo("d.png", (220, 220, 40)), photo("e.png", (40, 220, 220)))
    expect(page.locator(".results [aria-busy]")).to_have_count(2)
    page.get_by_role("link", name="family").click()
    heading(page, "family")
    held[0].continue_()
    notice(page, "1 of 2 photos were added.")
    assert faces_of(http, "Ann") == 4


def test_other_files_are_refused(url: str, open_page: OpenPage) -> None:
    page = open_page(url, expected=("ERR_FAILED", "status of 422"))
    heading(page, "Try")
    give(page, "drop", NOTES)
    notice(page, "Only photos are accepted. Not used: notes.txt.")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".notice")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    dropped = """() => {
        const data = new DataTransfer();
        data.items.add(new File([""], "x.png", { type: "image/png" }));
        const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data });
        return !document.body.dispatchEvent(event);
    }"""
    assert page.evaluate(dropped), "the browser would leave the page for the file"
    page.route("**/example.jpg", lambda route: route.abort())
    page.get_by_role("button", name="Try an example").click()
    notice(page, "Check that it runs and that the network reaches it.")
    give(page, "drop", photo("good.png", RED))
    expect(page.locator(".drop canvas")).to_be_visible()
    give(page, "drop", NOT_AN_IMAGE)
    expect(page.get_by_text("Drop or paste a photo, or choose one")).to_be_visible()


def test_a_late_answer_does_not_replace_a_newer_one(
    url: str, http: httpx.Client, open_page: OpenPage
) -> None:
    person(http, "Ann", RED)
    page = open_page(f"{url}/#/identify/family", expected=("status of 422",))
    heading(page, "Identify")
    page.evaluate("""() => {
        const decode = createImageBitmap;
        window.createImageBitmap = async (file, ...rest) => {
            if (file.name === "broken.png") {
                document.body.dataset.held = "";
                await new Promise(done => { window.release = done; });
            }
            return decode(file, ...rest);
        };
    }""")
    with page.expect_response("**/identify*"):
        give(page, "drop", NOT_AN_IMAGE)
    expect(page.locator("body[data-held]")).to_be_visible()
    give(page, "drop", photo("good.png", RED))
    expect(page.get_by_role("heading", name="recognised")).to_be_visible()
    page.evaluate("release()")
    page.wait_for_timeout(100)
    assert page.get_by_role("heading", name="recognised").is_visible()
    assert page.get_by_role("alert").count() == 0


def test_a_dialog_does_not_outlive_its_view(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    ann = person(http, "Ann", RED)
    page = open_page(f"{url}/#/people/family")
    page.get_by_role("link", name="Ann").click()
    heading(page, "Ann")
    page.get_by_role("button", name="Edit").click()
    page.go_back()
    heading(page, "family")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto(f"{url}/#/people/family/{ann}")
    held: list[Route] = []
    page.route(
        f"**/people/{ann}",
        lambda route: held.append(route) if route.request.method == "DELETE" else route.continue_(),
    )
    page.get_by_role("button", name="Delete", exact=True).first.click()
    with page.expect_request(f"**/people/{ann}"):
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.goto(f"{url}/#/models")
    heading(page, "Models")
    held[0].continue_()
    notice(page, "Ann is deleted.")
    heading(page, "Models")


def test_a_restart_of_the_service_keeps_what_was_entered(url: str, open_page: OpenPage) -> None:
    page = open_page(f"{url}/#/clusters", expected=("ERR_FAILED",))
    page.clock.install()
    page.reload()
    heading(page, "Clusters")
    give(page, "drop", photo("1.png", RED), NOT_AN_IMAGE)
    page.get_by_role("button", name="Group the faces").click()
    expect(page.get_by_text("1 photo could not be used")).to_be_visible()
    page.get_by_label("Minimum similarity").fill("0.5")
    page.route("**/readyz", lambda route: route.abort())
    page.clock.run_for(15_000)
    expect(page.get_by_text("Not reachable")).to_be_visible()
    page.unroute("**/readyz")
    page.clock.run_for(2_000)
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.get_by_label("Minimum similarity")).to_have_value("0.5")


def test_a_turned_webp_photo_and_a_long_name_are_drawn(url: str, open_page: OpenPage) -> None:
    exif, content = Pil.Exif(), BytesIO()
    exif[0x0112] = 6
    Pil.new("RGB", (200, 100), RED).save(content, "WEBP", exif=exif)
    page = open_page(url)
    heading(page, "Try")
    give(page, "drop", {"name": "turned.webp", "mimeType": "image/webp", "buffer": content.getvalue()})
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
    assert page.evaluate("document.querySelector('.drop canvas').width") == 360
    covered = """async () => {
        const { paint } = await import("/console/photos.js");
        const canvas = new OffscreenCanvas(900, 600), photo = new OffscreenCanvas(900, 600);
        paint(canvas, photo, [{ box: { x1: 10, y1: 100, x2: 60, y2: 150 }, label: "long ".repeat(40) }]);
        return [20, 450].map(x => canvas.getContext("2d").getImageData(x, 80, 1, 1).data[3] > 0);
    }"""
    assert page.evaluate(covered) == [True, False]
