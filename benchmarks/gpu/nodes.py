"""Section: which nodes of the nets ran on which device, by the profile of ONNX Runtime."""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy import ndarray

from app.runtime.device import PROVIDERS, Device, preload_gpu_libraries
from app.runtime.manifest import read_manifest
from app.runtime.session import DeviceBinding
from benchmarks.gpu.plan import MODELS, Plan, Result, Table

CANVAS = (512, 640)
"""Height and width for nets that take any: the canvases of P-Net on a GPU."""

_SHAPE_TYPES = frozenset({"int64", "int32", "bool"})
_SHAPE_VALUES = 16
"""The most values of a tensor that is a shape, or a part of one."""


@dataclass(frozen=True)
class Node:
    """A node that ran.

    Attributes:
        name: its name.
        operator: its operator.
        provider: the execution provider that ran it.
        makes_shape: whether it only computes shapes: all its outputs are a few integers. ONNX Runtime puts
            such nodes on the CPU, where shapes are needed.
    """

    name: str
    operator: str
    provider: str
    makes_shape: bool

    @property
    def copies(self) -> bool:
        """Whether it copies between the memories of the host and the device."""
        return self.operator in {"MemcpyFromHost", "MemcpyToHost"}


def measure(plan: Plan) -> Iterator[Result]:
    """Run every net of the manifest once with a profile.

    Args:
        plan: the plan.

    Yields:
        The results.
    """
    device = plan.device
    if not device.on_cpu:
        preload_gpu_libraries()
    rows, faults = [], []
    for entry in read_manifest(MODELS).models:
        for file in entry.files:
            nodes = profile(entry.path_of(file), device)
            row, strays = audit(nodes, device)
            rows.append([file.file, *row])
            faults += [f"{file.file}: {node.operator} {node.name} ran on {node.provider}" for node in strays]
    heads = ["file", "nodes", "on the device", "copies", "shapes on the CPU", "others elsewhere"]
    note = (
        "Nodes after ONNX Runtime's optimisation. A copy moves a tensor between host and device. Nodes that "
        "only compute shapes, a few integers, may run on the CPU. Any other node elsewhere is a fault."
    )
    yield Result([Table(heads, rows)], [note], faults)


def audit(nodes: Sequence[Node], device: Device) -> tuple[list[int], list[Node]]:
    """Count the nodes of a net by where they ran.

    Args:
        nodes: the nodes.
        device: the device on which they should have run.

    Returns:
        The numbers of all nodes, of those on the device, of copies, of nodes elsewhere that compute shapes,
        and of others elsewhere. Then these others.
    """
    kinds: Counter[str] = Counter()
    strays = []
    for node in nodes:
        if node.copies:
            kinds["copies"] += 1
        elif node.provider == PROVIDERS[device.kind]:
            kinds["device"] += 1
        elif node.makes_shape:
            kinds["shapes"] += 1
        else:
            strays.append(node)
    return [len(nodes), kinds["device"], kinds["copies"], kinds["shapes"], len(strays)], strays


def profile(path: Path, device: Device) -> list[Node]:
    """Return the nodes that ran when a net ran once.

    Args:
        path: the ONNX file.
        device: the device, with the options of the service.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=device.providers(), enable_fallback=0)
        DeviceBinding(session, images := _images(session), device).run(images)
        return nodes_of(json.loads(Path(session.end_profiling()).read_text()))


def nodes_of(events: Sequence[dict[str, Any]]) -> list[Node]:
    """Return the nodes of a profile, each of them once.

    Args:
        events: the events of the profile.
    """
    nodes = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            args = event["args"]
            name = event["name"].removesuffix("_kernel_time")
            shape = _makes_shape(args.get("output_type_shape", []))
            nodes[name, args.get("node_index")] = Node(name, args["op_name"], args["provider"], shape)
    return list(nodes.values())


def _makes_shape(outputs: Sequence[dict[str, list[int]]]) -> bool:
    tensors = [tensor for output in outputs for tensor in output.items()]
    return bool(tensors) and all(
        kind in _SHAPE_TYPES and math.prod(shape) <= _SHAPE_VALUES for kind, shape in tensors
    )


def _images(session: ort.InferenceSession) -> ndarray:
    """Return an input of zeros, with one row."""
    taken = session.get_inputs()[0]
    if len(taken.shape) == 4:
        sides = zip(taken.shape[1:3], CANVAS, strict=True)
        return np.zeros((1, *(side if isinstance(side, int) else most for side, most in sides), 3), np.uint8)
    return np.zeros((1, *taken.shape[1:]), np.float32)
