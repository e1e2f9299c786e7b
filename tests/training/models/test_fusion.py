"""The fusion of two embedders."""

from pathlib import Path

import numpy as np
import pytest

from app.runtime.device import Device
from app.runtime.session import OrtSession
from app.vision.spec import FusionSpec
from tests.fakes import COMMON
from training.exporting.onnx import export
from training.models.fusion import fusion


def test_the_cosine_of_a_fusion_is_the_weighted_mean_of_those_of_its_parts(tmp_path: Path) -> None:
    spec = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(True, False), inputs=5, dimension=5, **COMMON
    )
    export(fusion([2, 3], [0.2**0.5, 0.8**0.5]), spec, tmp_path / "both.onnx", tmp_path / "both.npz")
    rng = np.random.default_rng(0)
    a, b = (
        v / np.linalg.norm(v, axis=1, keepdims=True)
        for v in (rng.normal(size=(2, 2)), rng.normal(size=(2, 3)))
    )
    vectors = np.concatenate([a, b], axis=1).astype(np.float32)
    out = OrtSession(tmp_path / "both.onnx", Device("cpu")).run(vectors)["embedding"]
    assert np.linalg.norm(out, axis=1) == pytest.approx(1, abs=1e-6)
    assert out[0] @ out[1] == pytest.approx(0.2 * a[0] @ a[1] + 0.8 * b[0] @ b[1], abs=1e-6)
