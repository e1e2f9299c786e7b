"""ONNX Runtime's telemetry is off before it is imported. tests/integration watches what is really sent."""

import os
import subprocess
import sys

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"


def value_after(program: str, **variables: str) -> str:
    """Return the variable's value at the end of a Python program that starts without it."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport os\nprint(os.environ.get({VARIABLE!r}))"],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["app", "app.runtime", "training", "training.models"])
def test_it_is_off(module: str) -> None:
    assert value_after(f"import sys, {module}; assert 'onnxruntime' not in sys.modules") == "1"


@pytest.mark.parametrize(("given", "kept"), [("0", "0"), ("", "1")])
def test_an_operators_value_is_kept(given: str, kept: str) -> None:
    """An empty value, as compose gives for an unset variable, decides nothing."""
    assert value_after("import app", ORT_DISABLE_TELEMETRY=given) == kept


def test_onnxruntime_is_imported_with_it_off() -> None:
    """The variable is set when the module is first looked for, so it is set before its library starts."""
    program = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        assert name != 'onnxruntime' or os.environ.get('ORT_DISABLE_TELEMETRY') == '1'\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import app.cli\n"
        "assert 'onnxruntime' in sys.modules\n"
    )
    assert value_after(program) == "1"
