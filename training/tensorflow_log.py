"""Silence TensorFlow's messages at its start: which CPU instructions and libraries it uses.

TensorFlow writes some of them while its libraries load, before any setting of the log has an effect. A filter
therefore drops these lines of the error stream during the import, and passes on all others.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NOISE = r"absl::InitializeLog|\] oneDNN custom operations|cpu_feature_guard|^To enable the following instr"
"""The lines that are dropped, as a regular expression of grep."""


def silence() -> None:
    """Log errors of TensorFlow alone, unless TF_CPP_MIN_LOG_LEVEL is set. Takes effect before its import."""
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ and "tensorflow" not in sys.modules:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds TensorFlow once, and filters the error stream while it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with filtered():
            self._loader.exec_module(module)


@contextmanager
def filtered() -> Iterator[None]:
    """Drop the lines of `NOISE` from the error stream.

    A process of its own filters, so that the last words of a crash are not lost.

    Yields:
        Nothing; the body writes to the error stream.
    """
    try:
        grep = subprocess.Popen(["grep", "--line-buffered", "-Ev", NOISE], stdin=subprocess.PIPE, stdout=2)
    except OSError:  # there is no grep, or no error stream
        yield
        return
    assert grep.stdin is not None
    kept = os.dup(2)
    os.dup2(grep.stdin.fileno(), 2)
    grep.stdin.close()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        grep.wait()
