"""Runs of `facet bulk` on a cluster in this process: what is written, and how a run continues."""

import json
import os
import re
from pathlib import Path

import pytest

from app.bulk.description import Description, write_description
from app.bulk.errors import BadInput, BulkError
from app.bulk.stores import Store
from tests.bulk.clusters import LocalCluster, describe, names, photo, rows, run
from tests.fakes import fake_analyzer


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Seven images, one of them damaged, and a file that is none."""
    for i in range(7):
        photo(tmp_path / "album" / f"p{i % 2}" / f"{i}.png", i)
    damaged = tmp_path / "album/p1/5.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    (tmp_path / "album/notes.txt").write_text("no image")
    return tmp_path / "album"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.findall(r"^facet: (.*)$", capsys.readouterr().err, re.MULTILINE)


ALL = ["0.png", "2.png", "4.png", "6.png", "1.png", "3.png", "5.png"]


def test_each_image_once(album: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([album, album / "p0", album / "p0/0.png"], output) is False
    assert names(output) == ALL
    bad = rows(output)[-1]
    assert bad["problem"]["type"] == "/problems/truncated-image"
    assert bad["problem"]["field"] == "image"
    assert bad["faces"] is None
    assert bad["image"] is None
    assert all(row["problem"] is None for row in rows(output)[:-1])
    told = messages(capsys)
    assert told[0] == "6 images read, 1 failed, 1 left out."
    assert told[1].startswith("1 failed: truncated-image (image): ")
    assert told[2].startswith("1 left out: not an image: ")
    assert "images per second" in told[3]


def stop_before(part: int, error: BaseException) -> LocalCluster:
    def before(done: int) -> None:
        if done == part:
            raise error

    return LocalCluster(before=before)


def test_it_continues_where_it_was_killed(
    album: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Killed(BaseException):
        pass

    for done in (0, 1, 1):
        with pytest.raises(Killed):
            run([album], output, stop_before(done, Killed()))
    assert names(output) == ALL[:4]
    first = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    cluster = LocalCluster()
    assert run([album], output, cluster) is False
    assert cluster.parts == ["part-00000-000002.parquet", "part-00000-000003.parquet"]
    before = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    capsys.readouterr()
    cluster = LocalCluster()
    assert run([album], output, cluster) is False
    assert cluster.parts == []
    assert names(output) == ALL
    assert {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")} == before
    assert first.items() <= before.items()
    assert messages(capsys)[0] == "7 images were processed before, 1 of them failed."


def test_ctrl_c_says_how_to_continue(album: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run([album], output, stop_before(2, KeyboardInterrupt()))
    assert messages(capsys) == ["Interrupted after 4 of 7 images. Run the same command again to continue."]


def test_a_part_that_is_written_twice_replaces_itself(album: Path, output: Path) -> None:
    run([album], output)
    first = {path.name: path.read_bytes() for path in output.glob("part-*")}
    for path in output.glob("part-*"):
        path.unlink()
    run([album], output)
    assert {path.name: path.read_bytes() for path in output.glob("part-*")} == first


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_part_is_written_again(album: Path, output: Path, content: bytes | None) -> None:
    run([album], output)
    part = sorted(output.glob("part-*"))[1]
    other = sorted(output.glob("part-*"))[3]
    part.write_bytes(other.read_bytes() if content is None else content)  # the last part has one image only
    cluster = LocalCluster()
    run([album], output, cluster)
    assert cluster.parts == [part.name]
    assert names(output) == ALL


def test_later_images_are_added(album: Path, output: Path) -> None:
    run([album], output)
    photo(album / "p2/7.png")
    cluster = LocalCluster()
    run([album, album.parent / "album/p2"], output, cluster, part_size=None)
    assert cluster.parts == ["part-00001-000000.parquet"]
    assert names(output) == [*ALL, "7.png"]


def test_an_image_that_is_gone_has_a_problem(album: Path, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run([album], output, stop_before(0, KeyboardInterrupt()))
    (album / "p0/2.png").unlink()
    assert run([album], output) is False
    assert names(output) == ALL
    assert [row["problem"]["type"] for row in rows(output) if row["problem"]] == [
        "/problems/bad-parameter",
        "/problems/truncated-image",
    ]


def test_what_a_killed_run_has_left_is_removed(album: Path, output: Path) -> None:
    run([album], output)
    left = [output / ".writing-1", output / "_facet/.writing-2"]
    for path in left:
        path.write_bytes(b"half")
    run([album], output)
    assert not any(path.exists() for path in left)


def test_other_options_are_refused(album: Path, output: Path) -> None:
    run([album], output)
    for other, named in (
        (describe("embed"), 'task: "embed" instead of "detect"'),
        (describe(min_face_size=30), 'options: {"min_face_size": 30.0} instead of {}'),
    ):
        with pytest.raises(BadInput, match=re.escape(named)):
            run([album], output, description=other)
    assert names(output) == ALL


def test_a_folder_of_something_else_is_refused(album: Path) -> None:
    with pytest.raises(BadInput, match=r"has files of something else, such as notes\.txt"):
        run([album / "p0"], album)
    assert not (album / "_facet").exists()


def test_another_format_is_refused(album: Path, output: Path) -> None:
    run([album], output)
    path = output / "_facet/run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    with pytest.raises(BulkError, match="has the format 9 of another version of Facet"):
        run([album], output)
    path.write_text("{")
    with pytest.raises(BulkError, match="cannot be read"):
        run([album], output)


def test_two_runs_at_once_are_refused(album: Path, output: Path) -> None:
    def another(done: int) -> None:
        with pytest.raises(BulkError, match="Another `facet bulk` writes to"):
            run([album], output)
        tried.append(done)

    tried: list[int] = []
    run([album], output, LocalCluster(before=another))
    assert tried == [0, 1, 2, 3]
    assert names(output) == ALL


def test_two_runs_that_start_at_once_are_refused(
    album: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(store: Store, description: Description) -> str:
        with pytest.raises(BulkError, match="Another `facet bulk` writes to"):
            run([album], output)
        return write_description(store, description)

    monkeypatch.setattr("app.bulk.run.write_description", write)
    run([album], output)
    assert names(output) == ALL


def test_a_run_that_was_killed_before_its_description_starts_again(album: Path, output: Path) -> None:
    (output / "_facet").mkdir(parents=True)
    (output / "_facet/.writing-1").touch()
    run([album], output)
    assert names(output) == ALL
    assert not (output / "_facet/.writing-1").exists()


def test_a_machine_that_does_not_see_the_output(album: Path, output: Path) -> None:
    class Elsewhere(LocalCluster):
        def outcomes(self, job, parts):  # type: ignore[no-untyped-def]
            path = output / "_facet/run.json"
            path.write_text(path.read_text().replace(job.run, "0123456789abcdef"))
            yield from super().outcomes(job, parts)

    with pytest.raises(BulkError, match="This machine does not see the OUTPUT"):
        run([album], output, Elsewhere())
    assert rows(output) == []


def test_a_machine_with_other_models(album: Path, output: Path) -> None:
    def others():  # type: ignore[no-untyped-def]
        analyzer = fake_analyzer()
        model = analyzer.models[0]
        object.__setattr__(model.entry, "name", "other")
        return analyzer

    with pytest.raises(BulkError, match="has other models than the one that started the run"):
        run([album], output, LocalCluster(others))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_an_output_that_cannot_be_written(album: Path, output: Path) -> None:
    output.mkdir(mode=0o500)
    with pytest.raises(BulkError, match="cannot be read or written: Permission denied"):
        run([album], output)


def test_no_image(tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run([tmp_path / "empty"], output) is False
    assert messages(capsys)[0] == "There are no images to read."


def test_a_folder_that_cannot_be_searched_fails(
    album: Path, output: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def closed(path: str):  # type: ignore[no-untyped-def]
        if str(path).endswith("p1"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("app.service.file_search.os.scandir", closed)
    assert run([album], output) is False
    assert len(rows(output)) == 4
    assert "1 failed: folders that cannot be searched" in "\n".join(messages(capsys))
