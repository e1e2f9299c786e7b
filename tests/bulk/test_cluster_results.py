"""`facet cluster --from`: the clusters of the faces in the results of `facet bulk`."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.bulk.inputs import Inputs
from app.bulk.run import BulkRun
from app.cli import common
from app.pipeline.analyzer import Analyzer
from app.service import cluster_files
from app.service.image_tasks import ImageTask
from app.settings import Settings
from tests.bulk.clusters import LIMITS, LocalCluster, describe
from tests.bulk.clusters import run as bulk
from tests.fakes import fake_analyzer
from tests.test_cli_clusters import BLUE, DARK, GREEN, RED, files, lines, messages, photo, run


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: fake_analyzer())
    monkeypatch.setenv("FACE_MAX_IMAGE_BYTES", str(LIMITS.image_bytes))  # as for the run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three images of RED, two of GREEN, one of BLUE, one without a face, and two that are no images."""
    photo(tmp_path / "album/a/1.png", RED, GREEN)
    photo(tmp_path / "album/b/1.png", GREEN, RED)
    photo(tmp_path / "album/b/2.png", RED, BLUE)
    photo(tmp_path / "album/b/3.png", DARK, DARK)
    (tmp_path / "album/b/4.png").write_bytes(b"no picture")
    (tmp_path / "album/b/5.png").write_bytes(bytes(500_000))
    return tmp_path / "album"


def computed(album: Path, output: Path, task: ImageTask = "embed", **options: Any) -> Path:
    bulk([album], output, description=describe(task, **options))
    return output


def test_it_prints_what_cluster_prints(album: Path, tmp_path: Path) -> None:
    (album / "b/6.png").symlink_to(album / "a/1.png")
    os.link(album / "b/4.png", album / "c.png")
    results = computed(album, tmp_path / "results")
    direct, stored = run(album), run("--from", results)
    assert stored.exit_code == direct.exit_code == 1, stored.exception
    assert stored.stdout == direct.stdout
    assert messages(stored) == messages(direct)
    assert messages(stored)[:2] == [
        "6 faces: 5 in 2 clusters, and 1 alike to no other.",
        "4 images read, 2 failed, 2 left out.",
    ]
    assert [one["problem"]["type"] for one in lines(stored)[-2:]] == [
        "/problems/not-an-image",
        "/problems/too-many-bytes",
    ]
    assert (
        run("--from", results, "--threshold", "0.999999").stdout
        == run(album, "--threshold", "0.999999").stdout
    )


def test_turned_images_and_names_that_are_not_unicode(album: Path, tmp_path: Path) -> None:
    photo(Path(os.fsdecode(os.fsencode(album) + b"/caf\xe9.png")), RED, BLUE)
    results = computed(album, tmp_path / "results", orientation="auto")
    stored = run("--from", results)
    assert stored.stdout == run(album, "--orientation", "auto").stdout
    assert lines(stored)[-1]["file_bytes"].endswith("caf%E9.png")


def test_nets_do_not_run(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = computed(album, tmp_path / "results")
    detected: list[None] = []
    monkeypatch.setattr(
        common, "load_analyzer", lambda settings, **needs: fake_analyzer(lambda: detected.append(None))
    )
    run("--from", results)
    assert detected == []
    run(album)
    assert len(detected) == 4


def test_links(album: Path, tmp_path: Path) -> None:
    results = computed(album, tmp_path / "results")
    assert run("--from", results, "--links", tmp_path / "stored").exit_code == 1
    assert run(album, "--links", tmp_path / "direct").exit_code == 1
    assert files(tmp_path / "stored") == files(tmp_path / "direct")
    assert (tmp_path / "stored/cluster-0000/1-2.png").samefile(album / "b/1.png")


def test_links_to_a_file_that_is_not_here(album: Path, tmp_path: Path) -> None:
    results = computed(album, tmp_path / "results")
    (album / "b/3.png").unlink()
    result = run("--from", results, "--links", tmp_path / "links")
    assert (result.exit_code, result.stdout) == (2, "")
    (message,) = messages(result)
    assert message.startswith(
        f"--links needs the files of the results, but {album / 'b/3.png'} does not exist."
    )
    assert not (tmp_path / "links").exists()
    assert len(lines(run("--from", results))) == 6


def test_parts_that_are_missing_are_reported(album: Path, tmp_path: Path) -> None:
    results = computed(album, tmp_path / "results")
    sorted(results.glob("part-*"))[0].unlink()
    result = run("--from", results)
    assert messages(result)[0] == "The run has not processed 2 images yet. They are in no cluster."
    assert [Path(one["file"]).name for one in lines(result)] == ["2.png", "3.png", "4.png", "5.png"]


def test_no_images(album: Path, tmp_path: Path) -> None:
    results = computed(album, tmp_path / "results")
    for part in results.glob("part-*"):
        part.unlink()
    result = run("--from", results)
    assert (result.exit_code, result.stdout) == (1, "")
    assert messages(result)[1:] == ["There are no images to read.", "0 images read, 0 failed, 0 left out."]


def test_too_many_faces_are_refused_before_embeddings_are_read(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = computed(album, tmp_path / "results")
    monkeypatch.setattr(cluster_files, "MAX_FACES", 6)
    assert len(lines(run("--from", results))) == 6
    monkeypatch.setattr(cluster_files, "MAX_FACES", 5)
    monkeypatch.setattr("app.bulk.cluster_source.faces_of", None)
    result = run("--from", results)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "The results have more than 5 faces. Run `facet bulk`" in result.stderr


def test_what_cannot_be_combined(album: Path, tmp_path: Path) -> None:
    results = computed(album, tmp_path / "results")
    for others, message in (
        ([album], "--from takes the images of the results."),
        (["--sheets", tmp_path / "sheets"], "--sheets shows the faces in the images"),
        (["--min-face-size", "40"], "--from takes the faces of the results."),
        (["--max-faces", "1"], "--from takes the faces of the results."),
        (["--orientation", "auto"], "--from takes the faces of the results."),
        (["--model", "vectors"], "--from takes the embeddings of the results."),
        (["--threshold", "2"], "The value 2.0 of threshold is invalid."),
        (["--links", album], "of --links exists and is not empty"),
    ):
        result = run("--from", results, *others)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr


def test_results_that_have_no_clusters(album: Path, tmp_path: Path) -> None:
    detections = computed(album, tmp_path / "detections", "detect")
    other = computed(album, tmp_path / "other")
    siamese = computed(album, tmp_path / "siamese")
    contract = describe("embed").contract
    assert contract is not None
    for output, text in ((other, '"vectors-0123456789abcdef"'), (siamese, "null")):
        description = output / "_facet/run.json"
        description.write_text(description.read_text().replace(json.dumps(contract), text))
    for results, status, message in (
        (tmp_path / "missing", 2, "has no results of facet bulk"),
        (detections, 2, "has the results of `facet bulk --task detect`, which have no embeddings"),
        (siamese, 2, "which compares faces by a net. They can neither be enrolled nor have clusters"),
        (
            other,
            1,
            "have the contract vectors-0123456789abcdef, but those of the loaded models have vectors-",
        ),
    ):
        result = run("--from", results)
        assert (result.exit_code, result.stdout) == (status, "")
        assert message in result.stderr


@pytest.mark.slow
def test_real_nets_find_the_same_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyzer: Analyzer
) -> None:
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: analyzer)
    monkeypatch.delenv("FACE_MAX_IMAGE_BYTES")
    photos = Path("tests/photos").absolute()
    bulk_run = BulkRun(
        describe("embed", analyzer, pose=True, quality=True), Settings(), LocalCluster(lambda: analyzer)
    )
    bulk_run.process(Inputs([str(photos)]), str(tmp_path / "out"))
    direct, stored = run(photos), run("--from", tmp_path / "out")
    assert stored.stdout == direct.stdout
    assert messages(stored)[0] == messages(direct)[0]
    assert messages(stored)[0] == "5 faces: 3 in 1 cluster, and 2 alike to no other."
