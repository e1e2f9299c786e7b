"""Precision of the nets: float, or int8 where a CPU has instructions for products of 8-bit integers."""

import platform
from pathlib import Path
from typing import Literal

from app.errors import DeviceUnavailable
from app.runtime.device import Device

Precision = Literal["float", "int8"]
PrecisionSetting = Literal["auto", "float", "int8"]

CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux lists the instructions of the CPU."""

_INSTRUCTIONS = {
    "x86_64": frozenset({"avx512_vnni", "avx_vnni"}),
    "aarch64": frozenset({"asimddp", "i8mm"}),
}
"""Instructions by architecture, one of which is enough: they add products of 8-bit integers in 32 bits."""


def has_int8_instructions(cpu_info: Path = CPU_INFO, machine: str | None = None) -> bool:
    """Return whether the CPU adds products of uint8 and int8 without saturation, in one instruction.

    Older x86 CPUs add pairs of products in 16 bits, where they saturate. Outside Linux the result is false,
    because the instructions are not known.

    Args:
        cpu_info: the file in which Linux lists the instructions of the CPU.
        machine: the architecture; that of this machine if None.
    """
    wanted = _INSTRUCTIONS.get(machine or platform.machine(), frozenset())
    return not wanted.isdisjoint(cpu_instructions(cpu_info))


def cpu_instructions(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """Return the instructions that Linux lists of the CPU, such as `avx2`; none outside Linux.

    Args:
        cpu_info: the file in which Linux lists them.
    """
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return frozenset()
    listed = (
        line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))
    )
    return frozenset(next(listed, []))


def precision_on(device: Device, setting: PrecisionSetting) -> Precision:
    """Return the precision of the nets on a device: with `auto` int8 where it is exact, else float.

    Args:
        device: the device.
        setting: `auto`, `float` or `int8`.

    Raises:
        DeviceUnavailable: the setting is `int8`, and the device is a GPU, or a CPU without the instructions.
    """
    if setting == "float" or (setting == "auto" and not device.on_cpu):
        return "float"
    exact = device.on_cpu and has_int8_instructions()
    if setting == "int8" and not exact:
        reason = (
            "this CPU has no VNNI or dot product instructions, or they are not known"
            if device.on_cpu
            else f"the device is {device.kind!r}, and int8 nets run on a CPU only"
        )
        raise DeviceUnavailable(
            f"FACE_PRECISION=int8 was requested, but {reason}. Set FACE_PRECISION to auto or float."
        )
    return "int8" if exact else "float"
