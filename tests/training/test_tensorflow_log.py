"""The messages of TensorFlow's start are dropped, and all others are kept."""

import os
import subprocess
import sys

IMPORT = "import training, keras, tensorflow; print(tensorflow.zeros(2).numpy().tolist())"
OTHERS = """
import os
from training.tensorflow_log import filtered
with filtered():
    os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on.\\nE0000 a failure\\n")
os.write(2, b"after\\n")
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=kept | variables, capture_output=True, text=True, check=False)


def test_the_import_of_tensorflow_writes_nothing() -> None:
    done = run(IMPORT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.0, 0.0]\n", "")


def test_a_level_that_is_set_is_kept() -> None:
    """Which line TensorFlow writes depends on the CPU."""
    written = run(IMPORT, TF_CPP_MIN_LOG_LEVEL="0").stderr
    assert "oneDNN" in written or "cpu_feature_guard" in written


def test_other_lines_are_passed_on() -> None:
    assert run(OTHERS).stderr == "E0000 a failure\nafter\n"


def test_a_crash_keeps_its_last_words() -> None:
    crash = OTHERS.replace('\nos.write(2, b"after\\n")', "").rstrip() + "; os.abort()\n"
    done = run(crash)
    assert (done.returncode < 0, done.stderr) == (True, "E0000 a failure\n")
