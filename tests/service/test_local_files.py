import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import BadParameter, TooManyBytes
from app.service.limits import Limits
from app.service.local_files import FileRun, find, line, read
from app.service.operations import Operations
from app.service.requests import DetectQuery
from tests.api.pictures import picture
from tests.fakes import fake_analyzer

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


def run(paths: list[Path], draw: Path | None = None) -> bool:
    operations = Operations(fake_analyzer(), LIMITS)
    return FileRun(lambda upload: operations.detect(upload, DetectQuery()), LIMITS, draw).process(paths)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def test_folders_are_searched_and_files_taken_as_they_are(folder: Path) -> None:
    notes = folder / "deep" / "notes.txt"
    assert find([folder, notes]) == [
        (folder / "a.png", Path("a.png")),
        (folder / "b.JPG", Path("b.JPG")),
        (folder / "deep" / "c.webp", Path("deep/c.webp")),
        (notes, Path("notes.txt")),
    ]


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(10))
    assert read(file, 10, "file") == bytes(10)
    with pytest.raises(TooManyBytes, match="exceeds the limit of 9 bytes"):
        read(file, 9, "file")
    with pytest.raises(BadParameter, match="No such file"):
        read(tmp_path / "y", 9, "file")


def test_a_line_is_one_line() -> None:
    text = line({"file": "a\nb.jpg"})
    assert "\n" not in text
    assert json.loads(text) == {"file": "a\nb.jpg"}


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


def test_progress_is_shown_on_many_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([folder])
    assert "3/3" in capsys.readouterr().err
    run([folder / "a.png"])
    assert capsys.readouterr().err == ""


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
