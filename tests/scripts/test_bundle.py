"""Bundles for machines without a network: their plan, requirements, parts and checksums."""

import hashlib
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from scripts.bundle import Plan, make_bundle, plan_of
from scripts.bundle_wheels import CannotBundle, platforms, requirements_for
from tests.scripts.conftest import WHEEL, git

RUNNING = f"3.{sys.version_info[1]}"


def names(requirements: str) -> dict[str, str]:
    """Return the version of each package in a requirements file."""
    heads = [line.removesuffix(" \\") for line in requirements.splitlines() if not line.startswith(" ")]
    return dict(head.split("==") for head in heads)


def content(bundle: Path) -> tarfile.TarFile:
    """Return the tar file that the parts form."""
    return tarfile.open(fileobj=BytesIO(b"".join(p.read_bytes() for p in sorted(bundle.glob("*.tar.*")))))


def test_a_plan_by_default() -> None:
    plan = plan_of("cpu", "", "", "55")
    assert (plan.cuda, plan.pythons, plan.part_mb, plan.name) == ("none", (RUNNING,), 55, "facet-cpu")
    assert plan_of("gpu", "", "3.11 3.13", "1").pythons == ("3.11", "3.13")
    assert plan_of("gpu", "", "", "1").cuda == "wheels"
    assert plan_of("gpu", "host", "", "4095").cuda == "host"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (("tpu", "", "", "55"), "TARGET is 'tpu'. Use TARGET=cpu or TARGET=gpu."),
        (("", "", "", "55"), "TARGET is ''."),
        (("gpu", "12", "", "55"), "CUDA is '12'. Use CUDA=host"),
        (("cpu", "host", "", "55"), "CUDA=host is only for TARGET=gpu."),
        (("cpu", "", "3.10", "55"), "PYTHON_VERSIONS has '3.10'. Facet supports 3.11, 3.12, 3.13."),
        *(
            (("cpu", "", "", part), f"PART_MB is '{part}'.")
            for part in ("", "0", "4096", "-1", "1.5", "x", "²")
        ),
    ],
)
def test_an_invalid_variable_is_named(variables: tuple[str, str, str, str], message: str) -> None:
    with pytest.raises(CannotBundle) as error:
        plan_of(*variables)
    assert str(error.value).startswith(message)


def test_an_invalid_variable_gives_one_line() -> None:
    command = [sys.executable, "-m", "scripts.bundle", "--target", "tpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "The bundle was not made. TARGET is 'tpu'. Use TARGET=cpu or TARGET=gpu.\n"


def test_a_system_for_which_there_are_no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(
        CannotBundle, match=r"this is linux on riscv64\. Make it on Linux on x86_64 or aarch64"
    ):
        plan_of("cpu", "", "", "55")


def test_markers_are_those_of_the_other_python() -> None:
    text = Path("requirements/gpu.txt").read_text()
    old, new = requirements_for(text, "3.11"), requirements_for(text, "3.12")
    assert ";" not in old + new
    assert names(old).keys() == names(new).keys()
    assert names(old)["numpy"] != names(new)["numpy"]
    assert "colorama" not in names(new)  # for Windows only
    for line in new.splitlines():
        assert line.startswith("    --hash=sha256:") == line.startswith(" ")
    assert set(new.splitlines()) - set(text.splitlines()) <= {f"{n}=={v} \\" for n, v in names(new).items()}


def test_cuda_of_the_host_leaves_out_its_wheels_only() -> None:
    text = Path("requirements/gpu.txt").read_text()
    every, some = names(requirements_for(text, "3.12")), names(requirements_for(text, "3.12", cuda=False))
    left_out = every.keys() - some.keys()
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime"} <= left_out
    assert all(name.startswith("nvidia-") for name in left_out)
    assert {"onnxruntime-gpu", "nvidia-ml-py"} <= some.keys()


def test_the_newest_platform_comes_first() -> None:
    tags = platforms("aarch64")
    assert tags[0] == "manylinux_2_28_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]


def test_the_parts_form_a_tar_file(bundle: Path) -> None:
    parts = sorted(bundle.glob("*.tar.*"))
    assert [part.name for part in parts] == [f"facet-cpu.tar.000{i}" for i in range(3)]
    assert [part.stat().st_size for part in parts[:2]] == [2**20] * 2
    assert 0 < parts[2].stat().st_size <= 2**20
    with content(bundle) as tar:
        found = {name.removeprefix("facet/") for name in tar.getnames()}
        assert {"app/__main__.py", "models/net.onnx", "requirements/cpu.txt", f"wheels/{WHEEL}"} <= found
        kept = tar.extractfile(f"facet/wheels/requirements-{RUNNING}.txt")
        assert kept is not None
        assert kept.read().startswith(b"facet-sample==1.0 \\\n    --hash=sha256:")
        assert not any(member.mode & 0o22 or member.uid or member.gid for member in tar)


def test_sha256sum_finds_every_file(bundle: Path) -> None:
    lines = (bundle / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums.keys() == {file.name for file in bundle.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert digest == hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=bundle, check=True)


def test_the_description(bundle: Path, plan: Plan) -> None:
    lines = (bundle / "bundle.conf").read_text().splitlines()[1:]
    values = dict(line.split("=") for line in lines)
    assert len(values.pop("COMMIT")) == 40
    assert int(values.pop("NEEDED_MB")) == 102  # 2 MiB of files
    assert values == {
        "NAME": "facet-cpu",
        "VERSION": "1.2.3",
        "DEVICE": "cpu",
        "CUDA": "none",
        "MACHINE": plan.machine,
        "GLIBC": "2.28",
        "PYTHONS": f"'{RUNNING}'",
        "PARTS": "3",
    }


def test_a_commit_gives_the_same_parts_whatever_else_the_tree_has(
    project: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(plan, project, tmp_path / "first")
    assert "working tree" not in capsys.readouterr().out
    (project / "app/main.py").write_text("changed\n")
    (project / "untracked").write_text("private\n")
    make_bundle(plan, project, tmp_path / "second")
    assert "Later changes of the working tree are not in it." in capsys.readouterr().out
    assert (tmp_path / "first/SHA256SUMS").read_text() == (tmp_path / "second/SHA256SUMS").read_text()


def test_wheels_that_cannot_be_downloaded_leave_the_older_bundle(
    bundle: Path, project: Path, plan: Plan, tmp_path: Path
) -> None:
    before = (bundle / "SHA256SUMS").read_text()
    (tmp_path / "index" / WHEEL).unlink()
    with pytest.raises(CannotBundle) as error:
        make_bundle(plan, project, bundle)
    start, _, remedy = str(error.value).partition(": ")
    assert start == f"The wheels for Python {RUNNING} on {plan.machine} cannot be downloaded"
    assert remedy == (
        "No matching distribution found for facet-sample==1.0. "
        "Check the network, and which package index pip is configured for (pip config list)."
    )
    assert (bundle / "SHA256SUMS").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "index", "project"]


def test_a_wheel_with_another_hash_is_refused(project: Path, plan: Plan, tmp_path: Path) -> None:
    requirements = project / "requirements/cpu.txt"
    requirements.write_text(f"facet-sample==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    git(project, "commit", "--quiet", "--all", "--message", "another hash")
    with pytest.raises(CannotBundle, match="cannot be downloaded"):
        make_bundle(plan, project, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_folder_that_is_no_clone(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(CannotBundle, match=r"^Make it in a git clone of Facet with a commit\. git: fatal: "):
        make_bundle(plan, tmp_path, tmp_path / "bundle")
