"""The files of `models/`, each opened once per test process: opening one takes longer than most tests."""

from functools import cache
from pathlib import Path

import onnx

from app.runtime import model_store
from app.runtime.device import Device
from app.runtime.model_store import LoadedModel
from app.runtime.session import OrtSession

MODELS = Path("models")


@cache
def session(file: str) -> OrtSession:
    """Return a session of a file on the CPU, without a scheduler."""
    return OrtSession(MODELS / file, Device("cpu"))


@cache
def model(name: str) -> LoadedModel:
    """Return a model that has no parts, on the CPU, as the service opens it."""
    (loaded,) = model_store.load(MODELS, "cpu", names=frozenset({name}))
    return loaded


@cache
def graph(file: str) -> onnx.GraphProto:
    """Return the graph of a file without its weights."""
    graph = onnx.load(MODELS / file).graph
    del graph.initializer[:]
    return graph
