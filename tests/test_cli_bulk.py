"""The command `bulk` without Ray: its options, and what it says if something is missing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import bulk_commands, cli, common
from tests.bulk.clusters import LocalCluster, names, photo
from tests.fakes import fake_analyzer


@pytest.fixture(autouse=True)
def nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "load_analyzer", lambda settings, **needs: fake_analyzer())
    monkeypatch.setattr(bulk_commands, "check_extra", lambda user, modules: None)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The arguments of the Ray clusters that the command asks for; it gets one in this process."""
    asked: list[tuple[object, ...]] = []

    def local(*arguments: object) -> LocalCluster:
        asked.append(arguments)
        return LocalCluster()

    monkeypatch.setattr("app.bulk.cluster.RayCluster", local)
    return asked


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bulk", *map(str, arguments)])


def test_a_run(tmp_path: Path, cluster: list[tuple[object, ...]]) -> None:
    photo(tmp_path / "in/1.png")
    arguments = (tmp_path / "in", tmp_path / "out", "--task", "detect")
    assert run(*arguments, "--actors", "3", "--threads", "2").exit_code == 0
    assert cluster == [("local", 3, 2)]
    assert names(tmp_path / "out") == ["1.png"]
    other = run(*arguments, "--max-faces", "1")
    assert other.exit_code == 2
    assert "has the results of a run with other options or models: options: " in other.stderr


def test_the_address(
    tmp_path: Path, cluster: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "in/1.png")
    monkeypatch.setenv("FACE_RAY_ADDRESS", "head:1")
    run(tmp_path / "in", tmp_path / "a", "--task", "detect")
    run(tmp_path / "in", tmp_path / "b", "--task", "detect", "--ray-address", "head:6379")
    assert cluster == [("head:1", None, 1), ("head:6379", None, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name images and a folder for the results, as in: facet bulk photos results --task embed"),
        (("photos", "--task", "detect"), "Name images and a folder for the results"),
        (("a", "b"), "Set --task to detect, landmarks or embed."),
        (("a", "b", "--task", "verify"), "Set --task to detect, landmarks or embed."),
        (("missing", "b", "--task", "detect"), "There is no file or folder "),
        (
            ("tests/photos", "b", "--task", "detect", "--max-faces", "0"),
            "The value 0 of max_faces is invalid.",
        ),
        (
            ("tests/photos", "b", "--task", "detect", "--ray-address", "ray://a:1"),
            "FACE_RAY_ADDRESS: The value must ",
        ),
    ],
)
def test_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("b").exists()


def test_an_unknown_model(tmp_path: Path) -> None:
    photo(tmp_path / "1.png")
    result = run(tmp_path, tmp_path / "out", "--task", "embed", "--model", "resnet")
    assert result.exit_code == 1
    assert "No model for embed is named 'resnet'." in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_DEVICE", "cuda")
    result = run("a", "b", "--task", "detect")
    assert result.exit_code == 2
    assert "facet bulk runs on CPUs only, but FACE_DEVICE is cuda. Set FACE_DEVICE=cpu." in result.stderr


@pytest.mark.parametrize(("missing", "named"), [("ray", "Ray"), ("pyarrow", "PyArrow")])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str, named: str) -> None:
    monkeypatch.undo()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find("typer"))
    result = run("a", "b", "--task", "detect")
    assert result.exit_code == 2
    assert (
        f"facet bulk needs {named}. Install it: `make ray` makes the environment .venv-ray" in result.stderr
    )


def test_nothing_else_imports_it() -> None:
    program = (
        "import sys; from app import cli; from app.main import create_app; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'fsspec', 'pyarrow', 'ray'}), "
        "[name for name in sys.modules if name.startswith('app.bulk')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
