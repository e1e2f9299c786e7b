"""The script `install.sh` of a bundle: what it installs, what it refuses, and what it leaves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.bundle import Plan, _sums, make_bundle
from tests.scripts.conftest import git


def install(
    bundle: Path, folder: Path, python: str | Path = sys.executable
) -> "subprocess.CompletedProcess[str]":
    command = ["env", f"PYTHON={python}", "sh", str(bundle / "install.sh"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def refusal(bundle: Path, folder: Path, python: str | Path = sys.executable) -> str:
    """Return the only line with which the installation fails."""
    done = install(bundle, folder, python)
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("Facet was not installed. ")
    return line.removeprefix("Facet was not installed. ")


def claim(bundle: Path, **values: str) -> None:
    """Change values of the bundle's description, and its checksums."""
    conf = bundle / "bundle.conf"
    text = conf.read_text()
    for name, value in values.items():
        text, changed = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert changed == 1
    conf.write_text(text)
    (bundle / "SHA256SUMS").unlink()
    (bundle / "SHA256SUMS").write_text(_sums(bundle))


def test_an_installation(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "bundle.conf.partial").touch()  # an earlier run was killed
    (folder / "half a file").touch()
    done = install(bundle, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        f"Facet 1.2.3 is installed in {folder}. Start the service: {folder}/facet serve\n"
    )
    assert {path.name for path in folder.iterdir()} == {
        *(".venv", "app", "bundle.conf", "facet", "models", "pyproject.toml", "requirements")
    }
    link = tmp_path / "facet"
    link.symlink_to(folder / "facet")
    started = subprocess.run(
        [link, "serve", "--port", "1"], cwd="/", capture_output=True, text=True, check=True
    )
    assert started.stdout == "cpu serve --port 1\n"

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = install(bundle, folder)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == (
        f"Facet 1.2.3 is already installed in {folder}. Start the service: {folder}/facet serve\n"
    )
    claim(bundle, COMMIT="1" * 40)
    assert refusal(bundle, folder).startswith(f"{folder} has another version of Facet. Choose a new folder;")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_damaged_and_missing_parts_are_named(bundle: Path, tmp_path: Path) -> None:
    part = bundle / "facet-cpu.tar.0001"
    whole = part.read_bytes()
    part.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert refusal(bundle, tmp_path / "f") == "Damaged: facet-cpu.tar.0001. Copy these files again."
    (bundle / "facet-cpu.tar.0002").unlink()
    assert refusal(bundle, tmp_path / "f") == (
        "Missing: facet-cpu.tar.0002. Damaged: facet-cpu.tar.0001. Copy these files again."
    )
    part.write_bytes(whole[:-1])
    assert "Damaged: facet-cpu.tar.0001." in refusal(bundle, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_checksums_that_are_missing_or_empty(bundle: Path, tmp_path: Path) -> None:
    (bundle / "SHA256SUMS").write_text("")
    assert refusal(bundle, tmp_path / "f") == "Damaged: SHA256SUMS. Copy these files again."
    (bundle / "SHA256SUMS").unlink()
    assert refusal(bundle, tmp_path / "f").startswith("SHA256SUMS is missing.")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"MACHINE": "riscv64"},
            r"This machine has Linux on \w+, but the bundle is for Linux on riscv64\. .*",
        ),
        (
            {"PYTHONS": "'3.98 3.99'"},
            r"The bundle needs Python 3\.98 or 3\.99 with its module venv, but \S+ is 3\.\d+; "
            r"name another one: PYTHON=\S+ sh install\.sh FOLDER, or make the bundle with other .*",
        ),
        ({"GLIBC": "9.1"}, r"The bundle needs .* uses glibc 2\.\d+, which is older than 9\.1; .*"),
        (
            {"NEEDED_MB": "999999999"},
            r"Facet needs 999999999 MiB in \S+, but only \d+ MiB are free\. Free space, .*",
        ),
    ],
)
def test_a_machine_that_the_bundle_does_not_fit(
    bundle: Path, tmp_path: Path, values: dict[str, str], message: str
) -> None:
    claim(bundle, **values)
    line = refusal(bundle, tmp_path / "f")
    assert re.fullmatch(message, line), line
    assert not (tmp_path / "f").exists()


def test_a_python_without_venv(bundle: Path, tmp_path: Path) -> None:
    """Debian's `python3` is one, unless `python3-venv` is installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    python = tmp_path / "a python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    line = refusal(bundle, tmp_path / "f", python)
    assert f"but {python} has no module venv (Debian and Ubuntu have it in python3-venv);" in line
    assert "but there is none;" in refusal(bundle, tmp_path / "f", "nonsense")
    assert not (tmp_path / "f").exists()


def test_without_a_folder_the_usage_is_shown(bundle: Path) -> None:
    done = subprocess.run(["sh", bundle / "install.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: sh install.sh FOLDER\n")


def test_files_of_others_are_kept(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / ".mine").write_text("mine")
    assert refusal(bundle, folder) == f"{folder} is not empty. Name a new folder."
    assert (folder / ".mine").read_text() == "mine"


def test_a_folder_in_a_folder_that_does_not_exist(bundle: Path, tmp_path: Path) -> None:
    assert "No such file or directory. Name another folder" in refusal(bundle, tmp_path / "a/b")
    assert not (tmp_path / "a").exists()


def test_packages_that_do_not_work_leave_nothing(project: Path, plan: Plan, tmp_path: Path) -> None:
    (project / "app/main.py").write_text("raise ImportError('libgomp.so.1 is missing')\n")
    git(project, "commit", "--quiet", "--all", "--message", "broken")
    make_bundle(plan, project, tmp_path / "bundle")
    (tmp_path / "f").mkdir()
    line = refusal(tmp_path / "bundle", tmp_path / "f")
    assert line == "The installed packages do not work: ImportError: libgomp.so.1 is missing"
    assert list((tmp_path / "f").iterdir()) == []


def test_an_interrupted_installation_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    # A process that is started in the background ignores SIGINT, and a shell cannot undo that.
    environment = ["env", "--default-signal=INT", f"PYTHON={sys.executable}"]
    command = [*environment, "sh", str(bundle / "install.sh"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as running:
        end = time.monotonic() + 120
        while not (folder / ".venv").exists():
            assert time.monotonic() < end
            assert running.poll() is None
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        assert running.wait(120) == 128 + signal.SIGINT
    assert not folder.exists()


@pytest.mark.skipif(shutil.which("dash") is None, reason="dash is not installed")
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_is_valid_in_both_common_shells(bundle: Path, shell: str) -> None:
    subprocess.run([shell, "-n", bundle / "install.sh"], check=True)
