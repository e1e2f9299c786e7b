"""The tasks that a command performs on many images: their operation, and the models that they need."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from app.service.operations import ImageResult, Operations
from app.service.requests import DetectQuery
from app.service.upload import Upload
from app.vision.spec import Task

ImageTask = Literal["detect", "landmarks", "embed"]
Operation = Callable[[Operations, Upload, DetectQuery], ImageResult]

OPERATIONS: dict[ImageTask, Operation] = {
    "detect": Operations.detect,
    "landmarks": Operations.landmarks,
    "embed": Operations.embed,
}

_MESH, _JUDGE = "mesh68", "fused"
"""The models that find the pose of heads and the quality of faces, if the task uses neither anyway."""


class NeededModels(NamedTuple):
    """The models that a task needs, as arguments of `wiring.load_analyzer`.

    Attributes:
        only: the tasks to load a model for, each with the name of a model, or None for the default.
        also: names of further models.
    """

    only: dict[Task, str | None]
    also: frozenset[str]


def needed_models(task: ImageTask, query: DetectQuery) -> NeededModels:
    """Return the models that a task needs.

    Args:
        task: the task.
        query: its parameters; `model` names a model of the task.
    """
    only: dict[Task, str | None] = {"detect": None}
    only[task] = query.model
    wanted = {_MESH: query.pose, _JUDGE: query.quality}
    return NeededModels(only, frozenset(name for name, is_wanted in wanted.items() if is_wanted))
