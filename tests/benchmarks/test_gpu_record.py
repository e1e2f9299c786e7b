"""The record keeps each section, goes on after a run that was cut off, and refuses what it cannot use."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
import typer
from typer.testing import CliRunner
from typer.testing import Result as Ended

from app.errors import DeviceUnavailable
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import host
from benchmarks.gpu.__main__ import Section
from benchmarks.gpu.plan import Measure, Plan, Result, Table
from benchmarks.gpu.record import Record, State, UnusableRecord

app = typer.Typer()
app.command()(command.main)

FACTS = {"GPU": "NVIDIA H100 80GB HBM3", "CPU": "one"}


def record(out: Path, *, facts: dict[str, str] = FACTS, small: bool = False) -> Record:
    return Record(out, "h100", facts, "python -m benchmarks.gpu", {"one": "One", "two": "Two"}, small)


def table(*cells: object) -> Result:
    return Result([Table(["what", "value"], [list(cells)])])


def test_a_section_is_on_the_disk_when_it_is_kept(tmp_path: Path) -> None:
    first = record(tmp_path)
    first.keep("one", table("rate", 12.5), State.PARTIAL, 1)
    assert not record(tmp_path).is_measured("one")
    first.keep("one", table("rate", 13.5), State.MEASURED, 2)
    assert record(tmp_path).is_measured("one")
    (section,) = json.loads((tmp_path / "gpu-h100.json").read_text())["sections"].values()
    assert section["tables"][0]["rows"] == [["rate", 13.5]]
    assert section["machine"] == FACTS
    assert {path.name for path in tmp_path.iterdir()} == {"gpu-h100.json", "gpu-h100.md"}


def test_a_later_run_keeps_the_sections_of_an_earlier_one(tmp_path: Path) -> None:
    record(tmp_path).keep("two", table("late", 2), State.MEASURED, 1)
    record(tmp_path, facts=FACTS | {"CPU": "another"}).keep("one", table("early", 1), State.MEASURED, 1)
    text = (tmp_path / "gpu-h100.md").read_text()
    assert text.index("| early | 1 |") < text.index("| late | 2 |")
    assert "Sections one:" in text
    assert "Sections two:" in text
    assert "| CPU | another |" in text


def test_the_report_says_what_is_missing(tmp_path: Path) -> None:
    kept = record(tmp_path)
    result = table("memory", None)
    result.faults.append("too slow")
    kept.keep("one", result, State.PARTIAL, 1)
    text = (tmp_path / "gpu-h100.md").read_text()
    assert "| memory | not measured |" in text
    assert "**Not met:** too slow" in text
    assert "The section is not complete." in text
    assert "## Two\n\nNot measured." in text
    assert kept.faults("one") == ["one is not complete", "one: too slow"]


def test_numbers_that_json_does_not_have_are_text(tmp_path: Path) -> None:
    record(tmp_path).keep("one", table(float("nan"), float("inf")), State.MEASURED, 1)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads((tmp_path / "gpu-h100.json").read_text(), parse_constant=refuse)
    assert found["sections"]["one"]["tables"][0]["rows"] == [["nan", "inf"]]


def test_a_small_section_is_not_enough_for_a_full_record(tmp_path: Path) -> None:
    record(tmp_path, small=True).keep("one", table("a", 1), State.MEASURED, 1)
    assert record(tmp_path, small=True).is_measured("one")
    assert not record(tmp_path).is_measured("one")
    record(tmp_path).keep("one", table("a", 1), State.MEASURED, 1)
    assert record(tmp_path, small=True).is_measured("one")


@pytest.mark.parametrize("content", ["{", "[]", '{"sections": {"one": {}}}', '{"sections": {"one": 1}}'])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "gpu-h100.json"
    file.write_text(content)
    with pytest.raises(UnusableRecord, match="move the file away"):
        record(tmp_path)
    assert file.read_text() == content


def test_a_section_without_a_field_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gpu-h100.json"
    file.write_text(json.dumps({"sections": {"one": {"machine": FACTS, "state": "measured"}}}))
    with pytest.raises(UnusableRecord, match="the section one has no command"):
        record(tmp_path)


def test_the_record_of_another_gpu_is_refused(tmp_path: Path) -> None:
    record(tmp_path).keep("one", table("a", 1), State.MEASURED, 1)
    with pytest.raises(UnusableRecord, match="another GPU: NVIDIA H100"):
        record(tmp_path, facts={"GPU": "NVIDIA H200"})


def fixed(*results: Result, error: Exception | None = None) -> Measure:
    """Return a section that yields results, and then raises an error."""

    def measure(plan: Plan) -> Iterator[Result]:
        yield from results
        if error is not None:
            raise error

    return measure


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Section]:
    """The sections of the command; empty."""
    found: dict[str, Section] = {}
    monkeypatch.setattr(command, "SECTIONS", found)
    return found


def run(out: Path, *options: str) -> Ended:
    return CliRunner().invoke(app, ["--device", "cpu", "--out", str(out), *options])


def states(out: Path) -> dict[str, Any]:
    found = json.loads((out / "gpu-cpu.json").read_text())["sections"]
    return {name: section["state"] for name, section in found.items()}


def test_a_section_that_fails_does_not_stop_the_others(tmp_path: Path, sections: dict[str, Section]) -> None:
    sections["one"] = Section("One", fixed(table("kept", 1), error=ValueError("several\nlines")), 1)
    sections["two"] = Section("Two", fixed(table("good", 2)), 1)
    ended = run(tmp_path)
    assert ended.exit_code == 1
    assert states(tmp_path) == {"one": "failed", "two": "measured"}
    assert "one: the section failed: ValueError: several lines\n" in ended.stderr
    text = (tmp_path / "gpu-cpu.md").read_text()
    assert "| kept | 1 |" in text
    assert "| good | 2 |" in text


def test_a_second_run_measures_only_what_is_not_complete(
    tmp_path: Path, sections: dict[str, Section]
) -> None:
    sections["one"] = Section("One", fixed(table("a", 1)), 1)
    sections["two"] = Section("Two", fixed(table("b", 1).cut("more")), 1)
    ended = run(tmp_path)
    assert (ended.exit_code, states(tmp_path)) == (1, {"one": "measured", "two": "partial"})
    assert "two is not complete\n" in ended.stderr
    sections["one"] = Section("One", fixed(error=AssertionError("measured again")), 1)
    sections["two"] = Section("Two", fixed(table("b", 2)), 1)
    ended = run(tmp_path)
    assert (ended.exit_code, states(tmp_path)) == (0, {"one": "measured", "two": "measured"})
    assert "one: measured already" in ended.stderr
    sections["two"] = Section("Two", fixed(table("b", 3)), 1)
    assert run(tmp_path, "--only", "two", "--again").exit_code == 0
    assert "| b | 3 |" in (tmp_path / "gpu-cpu.md").read_text()


def test_a_run_that_is_killed_keeps_what_it_has(tmp_path: Path, sections: dict[str, Section]) -> None:
    def measure(plan: Plan) -> Iterator[Result]:
        yield table("half", 1)
        raise KeyboardInterrupt

    sections["one"] = Section("One", measure, 1)
    assert run(tmp_path).exit_code != 0
    assert states(tmp_path) == {"one": "partial"}
    assert "| half | 1 |" in (tmp_path / "gpu-cpu.md").read_text()


def test_a_fault_is_the_exit_status_of_its_own_section(tmp_path: Path, sections: dict[str, Section]) -> None:
    slow = table("rate", 1)
    slow.faults.append("too slow")
    sections["one"], sections["two"] = Section("One", fixed(slow), 1), Section("Two", fixed(table("b", 1)), 1)
    ended = run(tmp_path)
    assert ended.exit_code == 1
    assert "one: too slow\n" in ended.stderr
    assert run(tmp_path, "--only", "two").exit_code == 0


def test_minutes_are_the_time_of_each_section(tmp_path: Path, sections: dict[str, Section]) -> None:
    left = []

    def measure(plan: Plan) -> Iterator[Result]:
        left.append(plan.seconds_left)
        yield Result()

    sections["one"] = Section("One", measure, 3)
    run(tmp_path)
    run(tmp_path, "--minutes", "0", "--again")
    assert 170 < left[0] <= 180
    assert left[1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "one,three"), "There is no section 'three'. The sections are one."),
        (("--device", "tpu"), "The device 'tpu' is unknown. Use cuda, cuda:N or cpu."),
        (("--device", "auto"), "The device 'auto' is unknown. Use cuda, cuda:N or cpu."),
        (("--name", "../x"), "The name '../x' may have letters, digits, '.', '_' and '-' only."),
    ],
)
def test_an_invalid_option_gets_one_line(
    tmp_path: Path, sections: dict[str, Section], options: tuple[str, ...], message: str
) -> None:
    sections["one"] = Section("One", fixed(table("a", 1)), 1)
    ended = run(tmp_path / "out", *options)
    assert (ended.exit_code, ended.output) == (2, f"No record: {message}\n")
    assert not (tmp_path / "out").exists()


def test_a_device_that_cannot_be_used_gets_one_line_and_never_the_cpu(
    tmp_path: Path, sections: dict[str, Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(setting: str) -> None:
        raise DeviceUnavailable("There is no\nGPU.")

    sections["one"] = Section("One", fixed(error=AssertionError("was measured")), 1)
    monkeypatch.setattr(host, "require", unusable)
    ended = run(tmp_path / "out")
    assert (ended.exit_code, ended.output) == (1, "No record: There is no GPU.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is here")
def test_cuda_without_its_packages_gets_one_line(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert ended.exit_code == 1
    assert ended.output.startswith("No record: The device 'cuda' was requested, but")
    assert ended.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path / "file")
    assert ended.exit_code == 1
    assert ended.output.count("\n") == 1
    assert str(tmp_path / "file") in ended.output


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb-hbm3"),
        ("NVIDIA H200", "h200"),
        ("", "cpu"),
        ("unknown", "unknown"),
    ],
)
def test_the_name_of_the_files(gpu: str, name: str) -> None:
    assert command._name_of(gpu) == name
