"""The precision of nets by device, setting and the instructions of the CPU."""

from pathlib import Path

import pytest

from app.errors import DeviceUnavailable
from app.runtime import precision
from app.runtime.device import Device
from app.runtime.precision import PrecisionSetting, has_int8_instructions, precision_on


@pytest.mark.parametrize(
    ("machine", "line", "expected"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni", True),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni", True),
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni_like", False),
        ("x86_64", "model name\t: avx_vnni", False),
        ("aarch64", "Features\t: fp asimd asimddp", True),
        ("aarch64", "Features\t: fp asimd", False),
        ("aarch64", "Features\t: avx_vnni", False),
        ("riscv64", "flags\t\t: avx_vnni asimddp", False),
    ],
)
def test_instructions_are_those_of_the_architecture(
    tmp_path: Path, machine: str, line: str, expected: bool
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n")
    assert has_int8_instructions(path, machine) is expected


def test_unknown_instructions_count_as_none(tmp_path: Path) -> None:
    assert not has_int8_instructions(tmp_path / "missing", "x86_64")


@pytest.mark.parametrize(
    ("kind", "instructions", "setting", "expected"),
    [
        ("cpu", True, "auto", "int8"),
        ("cpu", True, "int8", "int8"),
        ("cpu", True, "float", "float"),
        ("cpu", False, "auto", "float"),
        ("cpu", False, "float", "float"),
        ("cuda", True, "auto", "float"),
        ("tensorrt", True, "auto", "float"),
        ("cuda", True, "float", "float"),
    ],
)
def test_auto_is_int8_where_it_is_exact(
    monkeypatch: pytest.MonkeyPatch, kind: str, instructions: bool, setting: PrecisionSetting, expected: str
) -> None:
    monkeypatch.setattr(precision, "has_int8_instructions", lambda: instructions)
    assert precision_on(Device(kind), setting) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "cause"), [("cuda", "the device is 'cuda'"), ("cpu", "this CPU has no VNNI or dot product")]
)
def test_int8_is_refused_where_it_is_not_exact(
    monkeypatch: pytest.MonkeyPatch, kind: str, cause: str
) -> None:
    monkeypatch.setattr(precision, "has_int8_instructions", lambda: False)
    with pytest.raises(DeviceUnavailable, match=f"FACE_PRECISION=int8 was requested, but {cause}"):
        precision_on(Device(kind), "int8")  # type: ignore[arg-type]
