import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from app.errors import UnknownModel
from app.service.limits import Limits
from app.service.local_files import FileRun, line, problem_of
from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery
from app.service.upload import Upload
from tests.api.pictures import picture, sentence
from tests.fakes import fake_analyzer
from tests.service.file_trees import APPLE_DOUBLE, INVALID_NAME, TIFF, tree, without_permission

LIMITS = Limits(image_bytes=50_000, image_pixels=600_000, faces=50, boxes=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "in" / "deep"
    inside.mkdir(parents=True)
    (inside.parent / "b.JPG").write_bytes(picture())
    (inside.parent / "a.png").write_bytes(picture(format="PNG"))
    (inside / "c.webp").write_bytes(picture(format="WEBP"))
    (inside / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def detect(upload: Upload) -> ImageResult:
    return Operations(fake_analyzer(), LIMITS).detect(upload, DetectQuery())


def run(
    paths: list[Path], draw: Path | None = None, operation: Callable[[Upload], ImageResult] = detect
) -> bool:
    return FileRun(operation, LIMITS, draw).process(paths)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_line() -> None:
    name = "a\nb\r\x0b\x1c\x1b\x7f\x85\x9b\u2028\u2029顔.jpg"
    text = line({"file": name})
    assert text.splitlines() == [text]
    assert text.isprintable()
    assert json.loads(text) == {"file": name}


def test_a_bad_file_stops_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = folder / "missing.jpg"
    assert run([missing, folder / "deep" / "notes.txt", folder]) is False
    found = lines(capsys)
    assert [Path(entry["file"]).name for entry in found] == [
        "missing.jpg",
        "notes.txt",
        "a.png",
        "b.JPG",
        "c.webp",
    ]
    assert found[0]["problem"]["type"] == "/problems/bad-parameter"
    assert found[1]["problem"]["type"] == "/problems/not-an-image"
    assert all(len(entry["faces"]) == 2 and entry["model"] == "detector" for entry in found[2:])


def test_all_went_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([folder]) is True
    assert len(lines(capsys)) == 3


def test_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([tmp_path]) is False
    assert "no images" in capsys.readouterr().err
    (tmp_path / "c.tif").write_bytes(TIFF)
    assert run([tmp_path]) is False
    assert capsys.readouterr().err == (
        "facet: There are no images to read.\n"
        "facet: 0 images read, 0 failed, 1 left out.\n"
        f"facet: 1 left out: TIFF, which is not supported: {tmp_path}/c.tif.\n"
    )


def test_progress_is_shown_on_many_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([folder])
    assert "3/3" in capsys.readouterr().err
    run([folder / "a.png"])
    assert capsys.readouterr().err == ""


def test_the_summary_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = {"c.jpg": b"text", "d.jpg": bytes(60_000), "._a.jpg": APPLE_DOUBLE, "notes.txt": b"text"}
    folder = tree(tmp_path / "in", {**extra, "locked/c.jpg": picture()})
    (folder / "e.jpg").symlink_to("gone")
    with without_permission(folder / "locked", 0):
        assert run([folder]) is False
    captured = capsys.readouterr()
    problems = [
        entry["problem"] for text in captured.out.splitlines() if "problem" in (entry := json.loads(text))
    ]
    kinds = ["not-an-image", "too-many-bytes", "bad-parameter", "bad-parameter"]
    assert [problem["type"].rpartition("/")[2] for problem in problems] == kinds
    for problem in problems:
        sentence(problem["detail"])
    assert [text for text in captured.err.splitlines() if text.startswith("facet: ")] == [
        "facet: 2 images read, 4 failed, 2 left out.",
        f"facet: 1 failed: not-an-image (image): {folder}/c.jpg.",
        f"facet: 1 failed: too-many-bytes (file): {folder}/d.jpg.",
        f"facet: 1 failed: bad-parameter (file): {folder}/e.jpg.",
        f"facet: 1 failed: folders that cannot be searched: {folder}/locked.",
        f'facet: 1 left out: metadata of macOS (the name begins with "._"): {folder}/._a.jpg.',
        f"facet: 1 left out: not an image: {folder}/notes.txt.",
    ]


def test_what_is_left_out_does_not_make_a_run_fail(tmp_path: Path) -> None:
    assert run([tree(tmp_path, {"._a.jpg": APPLE_DOUBLE, "c.tif": TIFF, "notes.txt": b"text"})]) is True


@pytest.mark.parametrize(
    "error", [RuntimeError("surprise"), MemoryError(), UnknownModel("x", "detect", ["y"])]
)
def test_any_error_is_reported_in_the_line_of_its_file(
    folder: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(upload: Upload) -> ImageResult:
        if upload.image.startswith(b"\x89PNG"):
            raise error
        return detect(upload)

    assert run([folder], operation=fail) is False
    entries = lines(capsys)
    assert ["problem" in entry for entry in entries] == [True, False, False]
    assert entries[0]["problem"] == problem_of(error, LIMITS).model_dump(exclude_none=True)
    sentence(entries[0]["problem"]["detail"])


def test_files_that_vanish(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def remove(upload: Upload) -> ImageResult:
        (folder / "b.JPG").unlink(missing_ok=True)
        return detect(upload)

    assert run([folder], operation=remove) is False
    assert ["No such file" in entry.get("problem", {}).get("detail", "") for entry in lines(capsys)] == [
        False,
        True,
        False,
    ]


def test_an_interrupted_run_reports_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(upload: Upload) -> ImageResult:
        if upload.image.startswith(b"RIFF"):
            raise KeyboardInterrupt
        return detect(upload)

    with pytest.raises(KeyboardInterrupt):
        run([folder], operation=interrupt)
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "facet: Interrupted after 2 of 3 files.\nfacet: 2 images read, 0 failed" in captured.err


def test_lines_are_utf_8_whatever_the_names_are(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoding of the console does not matter. The bytes of an invalid name are in the line."""
    tree(
        tmp_path / "in", {INVALID_NAME: picture(), "顔 😀.jpg": picture(), os.fsdecode(b"\xff.jpg"): b"text"}
    )
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, encoding="cp1252", errors="strict"))
    monkeypatch.setattr(
        "sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    )
    assert run([tmp_path / "in"], tmp_path / "out") is False
    text = output.getvalue().decode("utf-8")
    entries = [json.loads(entry) for entry in text.splitlines()]
    assert json.loads(json.dumps(entries, ensure_ascii=False).encode()) == entries  # no lone surrogates
    bytes_of = {unquote_to_bytes(entry.get("file_bytes", entry["file"])) for entry in entries}
    assert bytes_of == {os.fsencode(path) for path in (tmp_path / "in").iterdir()}
    (invalid,) = [entry for entry in entries if entry["file"].endswith("caf\ufffd.jpg")]
    assert unquote_to_bytes(invalid["drawn_bytes"]) == os.fsencode(tmp_path / "out" / INVALID_NAME)
    assert next(entry for entry in entries if "problem" in entry)["file"].endswith("\ufffd.jpg")


def test_standard_input_is_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(picture())))
    assert run([Path("-")], tmp_path) is True
    captured = capsys.readouterr()
    entry = json.loads(captured.out)
    assert (entry["file"], entry["drawn"], len(entry["faces"])) == ("-", str(tmp_path / "stdin.png"), 2)
    assert captured.err == ""


@pytest.mark.parametrize("draw", ["in/drawn", "in", "in/deep/drawn", "link/x/y", "in/../in/./drawn"])
def test_drawn_images_are_not_processed_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], draw: str
) -> None:
    (tmp_path / "link").symlink_to(folder)
    counts, files = [], []
    for _ in range(3):
        assert run([folder], tmp_path / draw) is True
        counts.append(len(lines(capsys)))
        files.append(sorted(path for path in tmp_path.rglob("*") if path.is_file()))
    assert counts == [3, 3, 3]
    assert files[0] == files[1] == files[2]
    assert run([folder], folder / "elsewhere") is True
    assert len(lines(capsys)) == 3


def test_drawn_images_that_the_shell_names_are_not_drawn_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        assert run(sorted(folder.glob("*")), folder) is True
        assert len(lines(capsys)) == 3


def test_a_failed_drawing_keeps_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([folder], folder / "a.png") is False
    for entry in lines(capsys):
        assert entry["problem"]["field"] == "draw"
        assert len(entry["faces"]) == 2


def test_drawn_pictures_keep_their_places_and_formats(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run([folder], out) is True
    drawn = {path.relative_to(out).as_posix(): path.read_bytes()[:4] for path in out.rglob("*.*")}
    assert drawn == {"a.png": b"\x89PNG", "b.JPG": b"\xff\xd8\xff\xe0", "deep/c.webp.png": b"\x89PNG"}
    assert [entry["drawn"] for entry in lines(capsys)] == [str(out / name) for name in sorted(drawn)]


def test_names_that_meet_are_numbered(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes(picture(format="PNG"))
    out = tmp_path / "out"
    assert run([folder / "a.png", other / "a.png"], out) is True
    assert sorted(path.name for path in out.iterdir()) == ["a-2.png", "a.png"]


def test_the_pictures_themselves_are_never_overwritten(folder: Path) -> None:
    before = (folder / "b.JPG").read_bytes()
    assert run([folder], folder) is True
    assert (folder / "b.JPG").read_bytes() == before
    assert (folder / "b-2.JPG").exists()


def stored(folder: Path, *names: str) -> dict[Path, bytes]:
    """Pictures that differ, by their paths."""
    folder.mkdir()
    for i, name in enumerate(names):
        (folder / name).write_bytes(picture(width=200 + i))
    return {folder / name: (folder / name).read_bytes() for name in names}


def test_no_picture_of_the_run_is_overwritten_by_another_s_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(tmp_path / "h", "a.jpg", "a-2.jpg")
    assert run([tmp_path / "h"], tmp_path / "h") is True
    assert {path: path.read_bytes() for path in before} == before
    drawn = {entry["drawn"] for entry in lines(capsys)}
    assert drawn == {str(tmp_path / "h" / name) for name in ("a-2-2.jpg", "a-3.jpg")}


@pytest.mark.parametrize("around", [False, True])
def test_no_picture_of_another_folder_is_overwritten(tmp_path: Path, around: bool) -> None:
    before = stored(tmp_path / "one", "b.jpg") | stored(tmp_path / "two", "a.jpg", "b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    folders = [tmp_path / "two", tmp_path / "one"]
    assert run(folders, tmp_path / ("link" if around else "one")) is True
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "one").iterdir())) == 4


def test_a_picture_is_not_overwritten_through_a_link(tmp_path: Path) -> None:
    before = stored(tmp_path / "in", "a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").symlink_to(tmp_path / "in" / "a.jpg")
    assert run([tmp_path / "in"], tmp_path / "out") is True
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "out" / "a-2.jpg").exists()


def test_a_second_run_draws_over_the_first_one_s(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run([folder], tmp_path / "out") is True
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 3


def test_a_folder_that_cannot_be_written_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([folder / "b.JPG"], folder / "a.png") is False
    assert "cannot be written" in lines(capsys)[0]["problem"]["detail"]
