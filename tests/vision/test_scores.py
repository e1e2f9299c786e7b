import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.scores import logit, sigmoid


def test_known_values() -> None:
    scores = np.array([0.5, 0.75, 0.1], np.float32)
    logits = np.array([0, np.log(3), -np.log(9)], np.float32)
    assert logit(scores) == pytest.approx(logits, abs=1e-6)
    assert sigmoid(logits) == pytest.approx(scores, abs=1e-6)


def test_certain_scores_stay_finite() -> None:
    assert logit(np.array([0, 1], np.float32)) == pytest.approx([-13.8155, 13.8155], abs=0.1)
    assert sigmoid(np.array([-80, 80], np.float32)) == pytest.approx([0, 1], abs=1e-6)


@given(st.lists(st.floats(2**-13, 1 - 2**-13, width=32), max_size=20))
def test_each_undoes_the_other(scores: list[float]) -> None:
    array = np.array(scores, np.float32)
    assert sigmoid(logit(array)) == pytest.approx(array, abs=1e-5)
    assert sigmoid(logit(array)).dtype == np.float32
