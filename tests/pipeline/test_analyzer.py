"""The analyzer: models by task and name, their defaults, and tasks for which no model is loaded."""

import numpy as np
import pytest

from app.errors import BadModel, NoFace, UnknownModel
from app.pipeline.analyzer import Analyzer
from app.pipeline.verifier import DecisionThreshold
from app.runtime.timing import Timing
from app.vision.spec import Task
from tests.fakes import cascade, embedder, fake_analyzer, landmarker


def test_the_default_is_the_chosen_or_the_marked_or_the_first_model() -> None:
    models = [cascade(), embedder("one", default=False), embedder("two"), landmarker("first", default=False)]
    assert Analyzer(models).defaults == {"detect": "detector", "embed": "two", "landmarks": "first"}
    chosen = Analyzer(models, {"embed": "one", "landmarks": None})
    assert chosen.embedder(None) is chosen.embedders["one"]
    assert chosen.embedder("two") is chosen.embedders["two"]
    assert chosen.landmarker(None) is chosen.landmarkers["first"]
    assert chosen.detector(None) is chosen.detectors["detector"]


def test_a_task_without_a_model_is_allowed_and_knows_none() -> None:
    analyzer = Analyzer([cascade()])
    assert analyzer.defaults == {"detect": "detector"}
    for pick in (analyzer.landmarker, analyzer.embedder):
        for name in (None, "nobody"):
            with pytest.raises(UnknownModel) as caught:
                pick(name)
            assert caught.value.known == []


def test_a_detector_is_required() -> None:
    with pytest.raises(BadModel, match="No detector is loaded"):
        Analyzer([landmarker(), embedder()])


@pytest.mark.parametrize("task", ["detect", "landmarks", "embed"])
def test_a_default_that_is_not_loaded_is_refused(task: Task) -> None:
    with pytest.raises(BadModel, match=f"The default model 'nobody' for {task} is not loaded"):
        Analyzer([cascade(), landmarker(), embedder()], {task: "nobody"})


@pytest.mark.parametrize(("dark", "field"), [((True, False), "image_a"), ((False, True), "image_b")])
def test_a_picture_without_a_face_is_named(dark: tuple[bool, bool], field: str) -> None:
    a, b = (np.full((60, 80, 3), 0 if is_dark else 200, np.uint8) for is_dark in dark)
    analyzer = fake_analyzer()
    with pytest.raises(NoFace, match=f"No face was found in {field}") as caught:
        analyzer.verify((a, b), analyzer.embedder(None), DecisionThreshold(0.5, None), Timing())
    assert caught.value.field == field
