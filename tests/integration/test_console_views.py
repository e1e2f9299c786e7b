"""Each view of the console, used as a person would, in a real browser; the nets are fake."""

from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import expect

from app.main import create_app
from app.settings import Settings
from tests.fakes import fake_analyzer
from tests.integration.browser import OpenPage, violations
from tests.integration.console import (
    BLUE,
    GREEN,
    NOT_AN_IMAGE,
    ORANGE,
    RED,
    choose,
    faces_of,
    give,
    heading,
    person,
    photo,
    visit,
)
from tests.servers import serving

pytestmark = pytest.mark.integration

PERSON_PHOTOS = "Drop or choose photos of the person"


def test_detect_landmarks_and_embed(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    give(page, "drop", photo("two.png", RED, BLUE))
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
    page.get_by_label("Threshold").fill("0.9")
    page.get_by_label("Threshold").press("Tab")
    expect(page.get_by_role("heading", name="1 face")).to_be_visible()
    page.get_by_role("link", name="Landmarks").click()
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
    page.get_by_role("link", name="Embed").click()
    page.get_by_text("Answer as JSON").click()
    expect(page.locator("pre")).to_contain_text('"embedding"')
    page.get_by_label("Model").select_option("other-vectors")
    expect(page.locator("pre")).to_contain_text('"model": "other-vectors"')


def test_an_error_of_the_service_is_shown(url: str, open_page: OpenPage) -> None:
    page = open_page(url, expected=("status of 415", "status of 422"))
    give(page, "drop", NOT_AN_IMAGE)
    expect(page.get_by_role("alert")).to_contain_text("Not an image.")
    give(page, "paste", photo("one.png", RED))
    expect(page.get_by_role("heading", name="2 faces")).to_be_visible()


def test_verify(url: str, open_page: OpenPage) -> None:
    page = open_page(f"{url}/#/try/verify")
    give(page, "paste", photo("one.png", RED))
    expect(page.get_by_text("two photos to compare")).to_be_visible()
    give(page, "paste", photo("other.png", ORANGE))
    expect(page.get_by_role("heading", name="Same person")).to_be_visible()
    choose(page, "Drop the second photo, or choose one", [photo("other.png", BLUE)])
    expect(page.get_by_role("heading", name="Different people")).to_be_visible()
    page.get_by_role("spinbutton", name="Threshold").fill("0.1")
    page.get_by_role("spinbutton", name="Threshold").press("Enter")
    expect(page.get_by_role("heading", name="Same person")).to_be_visible()
    assert violations(page) == []


def test_a_collection_with_people(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    page = open_page(f"{url}/#/people")
    page.get_by_role("button", name="New collection").first.click()
    page.get_by_role("textbox", name="Name").fill("my family")
    page.get_by_role("button", name="Create").click()
    assert page.evaluate("document.querySelector('dialog input').validity.patternMismatch")
    page.get_by_role("textbox", name="Name").fill("family")
    page.get_by_role("button", name="Create").click()
    heading(page, "family")
    expect(page.get_by_text("This collection has no people yet.")).to_be_visible()

    page.get_by_role("button", name="Add a person").click()
    page.get_by_role("textbox", name="Name").fill("Ann")
    page.get_by_label("External id").fill("44")
    choose(page, PERSON_PHOTOS, [photo("a.png", RED), photo("b.png", ORANGE), NOT_AN_IMAGE])
    assert violations(page) == []
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    heading(page, "Ann")
    expect(page.get_by_text("broken.png: ")).to_be_visible()
    expect(page.get_by_text("Ann is added with 2 faces.")).to_be_visible()
    expect(page.locator("ul.faces canvas.crop")).to_have_count(2)
    assert faces_of(http, "Ann") == 2

    give(page, "drop", photo("a.png", RED), NOT_AN_IMAGE)
    expect(page.get_by_text("a.png: this person has a copy of this face already")).to_be_visible()
    expect(page.locator(".results .bad")).to_contain_text("broken.png")
    assert faces_of(http, "Ann") == 2

    page.get_by_role("link", name="family").click()
    expect(page.get_by_role("link", name="Ann")).to_contain_text("44")


def test_people_are_found_by_name_in_pages(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    for number in range(60):
        person(http, f"Person {number}")
    page = open_page(f"{url}/#/people/family")
    expect(page.locator("ul.people li")).to_have_count(50)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("ul.people li")).to_have_count(60)
    expect(page.locator("ul.people a").nth(50)).to_be_focused()
    page.get_by_label("Search by name").fill("person 5")
    expect(page.locator("ul.people li")).to_have_count(11)
    expect(page.get_by_role("status").filter(has_text="11 people are shown.")).to_have_count(1)
    page.get_by_label("Search by name").fill("nobody")
    expect(page.get_by_text("No person has this text in the name.")).to_be_visible()


def test_a_person_is_edited(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    identity = person(http, "Ann")
    person(http, "Bob")
    http.patch(f"/collections/family/people/{identity}", json={"external_id": "44"})
    page = open_page(f"{url}/#/people/family/{identity}")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("textbox", name="Name").fill("Ann Lee")
    page.get_by_label("Metadata").fill("{office: 1}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid JSON")
    page.get_by_label("Metadata").fill('{"office": 1}')
    page.get_by_role("button", name="Save").click()
    heading(page, "Ann Lee")
    found = http.get(f"/collections/family/people/{identity}").json()
    assert (found["name"], found["external_id"], found["metadata"]) == ("Ann Lee", "44", {"office": 1})


def test_editing_a_person_changes_no_other_field(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    identity = person(http, "Ann")
    metadata = {"badge": 12345678901234567890, "ratio": 1.0, "office": 1}
    http.patch(f"/collections/family/people/{identity}", json={"metadata": metadata}).raise_for_status()
    page = open_page(f"{url}/#/people/family/{identity}")
    sent: list[str | None] = []
    page.on("request", lambda request: sent.append(request.post_data) if request.method == "PATCH" else None)

    def save(label: str, value: str) -> None:
        page.get_by_role("button", name="Edit").click()
        page.get_by_label(label).fill(value)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_have_count(0)

    save("Name", "Ann")
    assert sent == []
    save("Name", "Ann Lee")
    heading(page, "Ann Lee")
    assert sent == ['{"name": "Ann Lee"}']
    expect(page.locator(".facts")).to_contain_text('"badge":12345678901234567890')
    page.get_by_role("button", name="Edit").click()
    shown = page.get_by_label("Metadata").input_value()
    page.get_by_role("button", name="Cancel").click()
    save("Metadata", shown.replace('"office": 1', '"office": 2').replace('"ratio": 1,', '"ratio": 1.0,'))
    found = http.get(f"/collections/family/people/{identity}")
    assert found.json()["metadata"] == {**metadata, "office": 2}
    assert '"ratio":1.0' in found.text
    save("Metadata", " ")
    assert http.get(f"/collections/family/people/{identity}").json()["metadata"] is None


def test_people_are_merged_and_faces_moved(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    ann, bob = person(http, "Ann", RED, ORANGE), person(http, "Bob", BLUE)
    page = open_page(f"{url}/#/people/family/{ann}")
    page.get_by_role("button", name="Move").first.click()
    page.get_by_role("combobox", name="Other person").fill("Nobody")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a person")
    page.get_by_role("combobox", name="Other person").fill("Bob")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_text("The face belongs to Bob now.")).to_be_visible()
    expect(page.locator("ul.faces li")).to_have_count(1)
    assert (faces_of(http, "Ann"), faces_of(http, "Bob")) == (1, 2)

    page.get_by_role("button", name="Merge").click()
    page.get_by_role("combobox", name="Other person").fill("Bob")
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    heading(page, "Bob")
    assert page.url.endswith(bob)
    assert http.get(f"/collections/family/people/{ann}").status_code == 404
    assert faces_of(http, "Bob") == 3


def test_nothing_is_deleted_without_confirmation(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    ann = person(http, "Ann", RED, ORANGE)
    page = open_page(f"{url}/#/people/family/{ann}")
    page.get_by_role("button", name="Delete: face added").first.click()
    page.get_by_role("button", name="Cancel").click()
    assert faces_of(http, "Ann") == 2
    page.get_by_role("button", name="Delete: face added").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The face is deleted.")).to_be_visible()
    assert faces_of(http, "Ann") == 1
    expect(page.get_by_role("heading", level=1)).to_be_focused()

    page.get_by_role("button", name="Delete", exact=True).first.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert faces_of(http, "Ann") == 1
    page.get_by_role("button", name="Delete", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    heading(page, "family")
    assert faces_of(http, "Ann") == 0

    person(http, "Bob", BLUE)
    page.get_by_role("navigation", name="Views").get_by_role("link", name="People").click()
    page.get_by_role("button", name="Delete family").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("famil")
    dialog.get_by_role("button", name="Delete").click()
    assert http.get("/collections/family").status_code == 200
    dialog.get_by_role("textbox").fill("family")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no collection yet.")).to_be_visible()
    assert http.get("/collections/family").status_code == 404


def test_export_and_import(url: str, http: httpx.Client, open_page: OpenPage, tmp_path: Path) -> None:
    person(http, "Ann", RED)
    page = open_page(f"{url}/#/people", expected=("status of 409", "status of 422"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    download.value.save_as(tmp_path / "family.jsonl")
    assert download.value.suggested_filename == "family.jsonl"
    http.put("/collections/copy")
    visit(page, f"{url}/#/people/copy")
    page.get_by_role("button", name="Import").click()
    page.get_by_label("File with JSON lines").set_input_files(Path("README.md"))
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("File with JSON lines").set_input_files(tmp_path / "family.jsonl")
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    expect(page.get_by_text("People added: 1. Faces added: 1.")).to_be_visible()
    expect(page.get_by_role("link", name="Ann")).to_be_visible()
    assert faces_of(http, "Ann", "copy") == 1


def test_identify(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    ann = person(http, "Ann", RED)
    page = open_page(f"{url}/#/identify")
    give(page, "drop", photo("group.png", ORANGE, BLUE))
    expect(page.get_by_role("heading", name="1 of 2 recognised")).to_be_visible()
    known, unknown = page.locator("ol.faces > li").all()
    expect(known.get_by_role("link", name="Ann").first).to_have_attribute("href", f"#/people/family/{ann}")
    expect(unknown.get_by_role("heading")).to_contain_text("Unknown")
    expect(page.locator(".drop canvas")).to_have_attribute("aria-label", "2 faces: Ann, Unknown")
    assert violations(page) == []

    # The smaller face of the photo becomes a new person: the box says which face is meant.
    unknown.get_by_label("Name of this person").fill("Bob")
    unknown.get_by_role("button", name="Add the face").click()
    expect(page.get_by_role("heading", name="2 of 2 recognised")).to_be_focused()
    assert (faces_of(http, "Ann"), faces_of(http, "Bob")) == (1, 1)
    known, _ = page.locator("ol.faces > li").all()
    known.get_by_role("button", name="Add the face").click()
    expect(page.get_by_text("The face is added to Ann.")).to_be_visible()
    assert faces_of(http, "Ann") == 2
    page.get_by_label("Strangers taken for somebody").select_option("0.001")
    give(page, "drop", photo("stranger.png", GREEN))
    expect(page.get_by_role("heading", name="0 of 2 recognised")).to_be_visible()


def test_clusters_are_named_and_enrolled(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    person(http, "Ann")
    page = open_page(f"{url}/#/clusters")
    give(page, "drop", photo("1.png", RED, BLUE), photo("2.png", ORANGE, GREEN), NOT_AN_IMAGE)
    choose(page, "Drop, paste or choose photos", [photo("3.png", (225, 60, 50), (90, 90, 220))])
    expect(page.get_by_text("4 photos")).to_be_visible()
    page.get_by_role("button", name="Group the faces").click()
    expect(page.get_by_role("heading", name="2 groups in 6 faces; 1 without a group")).to_be_visible()
    expect(page.get_by_text("1 photo could not be used")).to_be_visible()
    assert violations(page) == []
    red, blue = page.locator(".group").filter(visible=True).all()
    expect(red.get_by_role("checkbox")).to_have_count(3)
    red.get_by_role("checkbox").nth(2).uncheck()
    red.get_by_label("Name of Group 1", exact=True).fill("Ann")
    blue.get_by_label("Name of Group 2", exact=True).fill("Bob")
    page.get_by_text("1 face without a group").click()
    page.get_by_label("Name of Face 1", exact=True).fill("Cid")
    page.get_by_role("button", name="Add all named groups").click()
    expect(page.get_by_text("Added: 2.", exact=False)).to_have_count(2)
    expect(page.get_by_role("link", name="Cid")).to_be_visible()
    assert [faces_of(http, name) for name in ("Ann", "Bob", "Cid")] == [2, 2, 1]
    people = http.get("/collections/family/people").json()["people"]
    assert len(people) == 3  # Ann was there before

    page.get_by_role("link", name="Bob").click()
    heading(page, "Bob")
    page.go_back()
    expect(page.get_by_role("heading", name="2 groups in 6 faces")).to_be_visible()


def test_models(url: str, open_page: OpenPage) -> None:
    page = open_page(f"{url}/#/models")
    vectors = page.get_by_role("article").filter(has=page.get_by_role("heading", name="vectors default"))
    expect(vectors).to_contain_text("CC0-1.0")
    expect(vectors.get_by_role("row").nth(2)).to_contain_text("0.0010.75000.8000")


def test_names_are_text(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    name = "<img src=x onerror=alert(1)>"
    identity = person(http, name, RED)
    page = open_page(f"{url}/#/people/family/{identity}")
    heading(page, name)
    visit(page, f"{url}/#/identify/family")
    give(page, "drop", photo("x.png", RED))
    expect(page.get_by_role("link", name=name).first).to_be_visible()


VIEWS = (
    "try/detect",
    "try/verify",
    "identify",
    "people",
    "people/family",
    "people/family/ID",
    "clusters",
    "models",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_every_view_is_accessible_and_fits(
    url: str, http: httpx.Client, open_page: OpenPage, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    identity = person(http, "A name that is " + "very " * 30 + "long", RED, ORANGE)
    page = open_page(url, size=size, scheme=scheme)
    for view in VIEWS:
        visit(page, f"{url}/#/{view.replace('ID', identity)}")
        expect(page.locator(".loading")).to_have_count(0)
        assert violations(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], view


def test_colours_are_chosen_and_kept(url: str, open_page: OpenPage) -> None:
    page = open_page(url)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_label("Colours").select_option("dark")
    assert page.evaluate(colour) != light
    page.reload()
    assert page.evaluate(colour) != light
    assert violations(page) == []


def test_the_keyboard_is_enough(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    page = open_page(f"{url}/#/people")
    expect(page.get_by_role("button", name="New collection").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="New collection").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.type("family")
    page.keyboard.press("Enter")
    heading(page, "family")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add a person")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Add a person")).to_be_focused()
    assert http.get("/collections/family").status_code == 200


def test_a_broken_address_leads_to_the_start(url: str, open_page: OpenPage) -> None:
    for address in ("#/nowhere", "#/people/%E0%A4%A", "#"):
        page = open_page(f"{url}/{address}")
        heading(page, "Try")


def test_unknown_people_and_collections(url: str, http: httpx.Client, open_page: OpenPage) -> None:
    person(http, "Ann")
    page = open_page(url, expected=("status of 404",))
    for address, missing in (
        ("people/none", "There is no collection"),
        (f"people/family/{'0' * 32}", "has no person"),
        ("identify/none", "There is no collection"),
    ):
        visit(page, f"{url}/#/{address}")
        expect(page.get_by_role("alert")).to_contain_text(missing)


def test_without_a_gallery(open_page: OpenPage) -> None:
    with serving(create_app(Settings(gallery="off"), fake_analyzer())) as url:
        asked: list[str] = []
        page = open_page(url, expected=("status of 503",))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/#/people")
        expect(page.get_by_role("alert")).to_contain_text("FACE_GALLERY")
        assert asked.count(f"{url}/collections") == 1, "another attempt would fail, too"
        page.context.close()


def test_a_collection_of_other_embeddings(
    url: str, http: httpx.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    http.put("/collections/other", json={"model": "other-vectors"})
    person(http, "Ann", RED, collection="other")
    analyzer = fake_analyzer()
    del analyzer.embedders["other-vectors"]
    with serving(create_app(Settings(gallery=str(tmp_path / "gallery.db")), analyzer)) as again:
        page = open_page(f"{again}/#/people")
        expect(page.get_by_text("not usable")).to_be_visible()
        expect(page.get_by_role("link", name="Identify").nth(1)).to_be_hidden()
        page.get_by_role("link", name="other").click()
        expect(page.get_by_role("link", name="Ann")).to_be_visible()
        expect(page.get_by_role("button", name="Add a person")).to_have_count(0)
        page.context.close()


def test_the_api_key_stays_in_the_tab(open_page: OpenPage, tmp_path: Path) -> None:
    settings = Settings(gallery=str(tmp_path / "gallery.db"), api_keys="secret-key-of-the-test")
    with serving(create_app(settings, fake_analyzer())) as url:
        page = open_page(url, expected=("status of 401",))
        page.get_by_label("Key", exact=True).fill("another-key-of-the-test")
        page.get_by_role("button", name="Use the key").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("requires a valid API key")
        assert page.evaluate("sessionStorage.length") == 0
        page.get_by_label("Key", exact=True).fill("secret-key-of-the-test")
        assert violations(page) == []
        page.get_by_role("button", name="Use the key").click()
        expect(page.get_by_role("button", name="Try an example")).to_be_visible()
        page.reload()
        page.get_by_role("button", name="Try an example").click()
        expect(page.get_by_role("heading", name="2 faces")).to_be_visible()
        assert page.evaluate("[...Object.values(localStorage), document.cookie].join()").find("secret") < 0
        other = page.context.new_page()
        other.goto(url)
        expect(other.get_by_role("dialog")).to_be_visible()
        page.get_by_role("button", name="API key").click()
        page.get_by_label("Key", exact=True).fill("schlüssel")
        page.get_by_role("button", name="Use the key").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("not ASCII")
        page.get_by_label("Key", exact=True).fill("")
        page.get_by_role("button", name="Use the key").click()
        expect(page.get_by_role("alert").first).to_contain_text("requires a valid API key")
        assert page.evaluate("sessionStorage.length") == 0
        page.context.close()


def test_a_service_that_is_gone(open_page: OpenPage, tmp_path: Path) -> None:
    with serving(create_app(Settings(gallery=str(tmp_path / "gallery.db")), fake_analyzer())) as url:
        page = open_page(url, expected=("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE"))
        expect(page.get_by_text("Ready")).to_be_visible()
    page.goto(f"{url}/#/people")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
