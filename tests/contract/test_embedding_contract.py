"""The contract of an embedder names its vectors: the same id has the same vectors."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

from app.errors import BadParameter
from app.gallery.contract import contract_of
from app.pipeline.analyzer import Analyzer
from app.runtime.model_store import LoadedModel
from app.settings import Settings
from app.wiring import load_analyzer
from scripts.contract_vectors import STORED, face_vectors

MIN_COSINE_OF_A_FACE = 0.985
"""See docs/experiments/face-selection.md: candidates of other scales move the five points a little."""

MODELS = ("fused", "sface", "dlib", "centerloss", "triplet")


@pytest.fixture(scope="module")
def stored() -> dict[str, ndarray]:
    with np.load(STORED) as file:
        return dict(file)


@pytest.mark.parametrize("model", MODELS)
def test_vectors_of_a_contract_do_not_change(
    analyzer: Analyzer, stored: dict[str, ndarray], model: str
) -> None:
    contract = contract_of(analyzer, model)
    assert contract in stored, (
        f"{contract} is new: collections of the earlier contract of {model} cannot be searched any more. If "
        "that is meant, run `python -m scripts.contract_vectors` and say it in CHANGELOG.md."
    )
    now = face_vectors(analyzer, model)
    assert now.shape == stored[contract].shape
    cosines = (now * stored[contract]).sum(axis=1)
    assert cosines.min() >= MIN_COSINE_OF_A_FACE, (
        f"The vectors of {model} have changed, but its contract has not. Raise ALIGNMENT in "
        f"app/gallery/contract.py. Cosines: {cosines}"
    )


def test_int8_and_float_have_one_contract(analyzer: Analyzer) -> None:
    try:
        int8 = load_analyzer(Settings(device="cpu", precision="int8"), only={"detect": None, "embed": None})
    except Exception as error:
        pytest.skip(f"int8 needs a CPU with VNNI or dot product instructions: {error}")
    assert contract_of(int8, "fused") == contract_of(analyzer, "fused")


def test_another_detector_makes_another_contract(analyzer: Analyzer) -> None:
    other = Analyzer(analyzer.models, {"detect": "mtcnn"})
    assert contract_of(other, "fused") != contract_of(analyzer, "fused")


def _with_file(**changes: str) -> Callable[[LoadedModel], LoadedModel]:
    def change(model: LoadedModel) -> LoadedModel:
        if model.entry.name != "sface":
            return model
        (file,) = model.entry.files
        return replace(
            model, entry=model.entry.model_copy(update={"files": (file.model_copy(update=changes),)})
        )

    return change


def test_the_net_makes_the_contract_and_its_calibration_does_not(analyzer: Analyzer) -> None:
    before = [contract_of(analyzer, name) for name in ("sface", "fused", "dlib")]
    calibrated = Analyzer([*map(_with_file(sha256="1" * 64), analyzer.models)])
    assert [contract_of(calibrated, name) for name in ("sface", "fused", "dlib")] == before
    changed = Analyzer([*map(_with_file(graph="1" * 64), analyzer.models)])
    sface, fused, dlib = (contract_of(changed, name) for name in ("sface", "fused", "dlib"))
    assert sface != before[0]
    assert fused != before[1]  # it combines sface and dlib
    assert dlib == before[2]


def test_a_net_that_compares_pairs_has_no_contract(analyzer: Analyzer) -> None:
    with pytest.raises(BadParameter, match=r"siamese compares .* Choose one of: centerloss, dlib") as caught:
        contract_of(analyzer, "siamese")
    assert caught.value.field == "model"


def test_the_stored_vectors_are_of_several_faces(stored: dict[str, ndarray]) -> None:
    assert all(len(vectors) >= 5 for vectors in stored.values())
    assert Path(STORED).stat().st_size < 100_000
