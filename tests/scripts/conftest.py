"""A small project with one package, of which bundles are made in a moment and without a network."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.bundle import Plan, make_bundle, plan_of

WHEEL = "facet_sample-1.0-py3-none-any.whl"


def write_wheel(folder: Path) -> str:
    """Write the wheel of a package without code; return its sha256."""
    path = folder / WHEEL
    info = "facet_sample-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("facet_sample.py", "NAME = 'sample'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: facet-sample\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def git(folder: Path, *arguments: str) -> None:
    """Run git with an author, whatever the settings of this machine."""
    names = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=folder, check=True, env={**os.environ, **names})


def write_project(folder: Path) -> Path:
    """Write a git clone of a project that looks like Facet, and its wheel in a folder `index`."""
    index, root = folder / "index", folder / "project"
    index.mkdir()
    requirement = f"facet-sample==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{write_wheel(index)}\n"
    files = {
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "requirements/cpu.txt": requirement,
        "app/__init__.py": "",
        "app/main.py": "import facet_sample\n",
        "app/__main__.py": "import os, sys\nprint(os.environ['FACE_DEVICE'], *sys.argv[1:])\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "models").mkdir()
    (root / "models/net.onnx").write_bytes(os.urandom(5 << 19))  # 2.5 MiB, so that there are several parts
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "sample")
    return root


@contextmanager
def only_index(folder: Path) -> Iterator[None]:
    """Let pip find wheels in the folder `index` of a folder, and nowhere else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder / "index"))
        yield


@pytest.fixture(scope="session")
def plan() -> Plan:
    """A bundle for the running Python, in parts of 1 MiB."""
    return plan_of("cpu", "", "", "1")


@pytest.fixture(scope="session")
def shared_bundle(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the project, which no test may change."""
    folder = tmp_path_factory.mktemp("shared")
    with only_index(folder):
        make_bundle(plan, write_project(folder), folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def bundle(shared_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    return shutil.copytree(shared_bundle, tmp_path / "bundle")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A clone of the project; pip finds its wheel."""
    root = write_project(tmp_path)
    with only_index(tmp_path):
        yield root
