"""Images and results in an object store, by PyArrow's client of S3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from app.cli import cli, common
from tests.bulk.clusters import LocalCluster, describe, photo, run
from tests.bulk.s3_server import S3, s3_server
from tests.fakes import fake_analyzer


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A store with five images, and a file that is none."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "test")
    with s3_server() as server:
        for i in range(5):
            data = photo(tmp_path / f"{i}.png", i).read_bytes()
            server.objects[f"photos/2026/p {i % 2}/é{i}.png"] = data
        server.objects["photos/2026/notes.txt"] = b"no image"
        yield server


def rows(store: S3) -> list[tuple[str, bool]]:
    parts = [data for key, data in sorted(store.objects.items()) if key.startswith("results/run/part-")]
    table = pa.concat_tables([parquet.read_table(pa.BufferReader(data)) for data in parts])
    return [(row["relative"], row["problem"] is None) for row in table.to_pylist()]


EXPECTED = [("p 0/é0.png", True), ("p 0/é2.png", True), ("p 0/é4.png", True), ("p 1/é1.png", True)]
EXPECTED += [("p 1/é3.png", True)]


def test_objects(store: S3) -> None:
    given, output = [store.uri("photos/2026")], store.uri("results/run")
    assert run(given, output) is True
    assert rows(store) == EXPECTED
    assert store.uploads == {}
    written = list(store.puts)
    assert run(given, output) is True
    assert store.puts == written


def test_it_continues(store: S3) -> None:
    class Killed(BaseException):
        pass

    def kill(done: int) -> None:
        if done == 1:
            raise Killed

    given, output = [store.uri("photos/2026/**/*.png")], store.uri("results/run")
    for _ in range(2):
        with pytest.raises(Killed):
            run(given, output, LocalCluster(before=kill))
    assert len(rows(store)) == 4
    assert run(given, output) is True
    assert rows(store) == EXPECTED
    parts = [key for key in store.puts if "/part-" in key]
    assert len(parts) == len(set(parts)) == 3


def test_an_incomplete_object_is_written_again(store: S3) -> None:
    given, output = [store.uri("photos/2026")], store.uri("results/run")
    run(given, output)
    key = "results/run/part-00000-000001.parquet"
    store.objects[key] = store.objects[key][:-20]
    cluster = LocalCluster()
    assert run(given, output, cluster) is True
    assert cluster.parts == ["part-00000-000001.parquet"]
    assert rows(store) == EXPECTED


def test_an_object_that_is_gone_has_a_problem(store: S3) -> None:
    def remove(done: int) -> None:
        store.objects.pop("photos/2026/p 1/é1.png", None)

    assert run([store.uri("photos/2026")], store.uri("results/run"), LocalCluster(before=remove)) is False
    assert rows(store) == [*EXPECTED[:3], ("p 1/é1.png", False), EXPECTED[4]]


def test_clusters(store: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: fake_analyzer())
    output = store.uri("results/run")
    run([store.uri("photos/2026")], output, description=describe("embed"))
    command = ["cluster", "--from", output]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert [one["file"] for one in lines] == [store.uri(f"photos/2026/{name}") for name, _ in EXPECTED]
    assert {len(one["faces"]) for one in lines} == {2}

    links = tmp_path / "links"
    refused = CliRunner().invoke(cli, [*command, "--links", str(links)])
    assert (refused.exit_code, refused.stdout, links.exists()) == (2, "", False)
    assert f"--links needs local files, but the results have the object {lines[0]['file']}." in refused.stderr
