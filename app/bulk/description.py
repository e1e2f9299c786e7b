"""What a run computes: the task, its parameters, and the models. All parts of an output agree in it."""

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from app.bulk.errors import BulkError
from app.bulk.stores import Store
from app.gallery.contract import contract_of
from app.service.image_tasks import ImageTask
from app.service.operations import Operations
from app.service.requests import DetectQuery
from app.vision.points import Scheme

FOLDER = "_facet"
"""Folder in the output for what is not a result."""

FORMAT = 1
"""Version of the layout of the output and of the schema of its files."""

_FILE = f"{FOLDER}/run.json"


@dataclass(frozen=True)
class Description:
    """What a run computes.

    Attributes:
        task: the task.
        options: the parameters that the command line sets, by name.
        model: name of the model.
        detector: name of the detector that finds the faces.
        nets: what identifies the nets of the loaded models: the SHA-256 of each, by model.
        contract: id of the embedding contract; None if there are no vectors that a gallery compares.
        dimension: number of elements of an embedding, or of coordinates of a landmark; None for `detect`.
        scheme: order of the landmarks; None for other tasks.
    """

    task: ImageTask
    options: dict[str, Any]
    model: str
    detector: str
    nets: dict[str, list[str]]
    contract: str | None = None
    dimension: int | None = None
    scheme: Scheme | None = None

    @classmethod
    def of(cls, operations: Operations, task: ImageTask, query: DetectQuery) -> "Description":
        """Return what the loaded models compute for a task.

        Raises:
            UnknownModel: the query names an unknown model.
        """
        analyzer = operations.analyzer
        options = query.model_dump(mode="json", exclude_unset=True, exclude={"model"})
        nets = {
            model.entry.name: [file.graph or file.sha256 for file in model.entry.files]
            for model in sorted(analyzer.models, key=lambda model: model.entry.name)
        }
        if task == "detect":
            name = analyzer.detector(query.model).name
            return cls(task, options, name, name, nets)
        detector = analyzer.detector(None).name
        if task == "landmarks":
            landmarker = analyzer.landmarker(query.model)
            dimension = 3 if landmarker.scheme == "mesh468" else 2
            return cls(
                task, options, landmarker.name, detector, nets, dimension=dimension, scheme=landmarker.scheme
            )
        spec = analyzer.embedder(query.model).spec
        contract = contract_of(analyzer, spec.model) if spec.metric == "cosine" else None
        return cls(task, options, spec.model, detector, nets, contract, spec.dimension)

    @property
    def query(self) -> DetectQuery:
        """The parameters of the operation, without the name of the model."""
        return DetectQuery.model_validate({**self.options, "model": self.model})

    def differences(self, other: "Description") -> list[str]:
        """Return for each attribute that another description has differently a text that names both."""
        return [
            f"{name}: {_shown(mine)} instead of {_shown(others)}"
            for (name, mine), others in zip(asdict(self).items(), asdict(other).values(), strict=True)
            if mine != others
        ]


def read_description(store: Store, location: str) -> tuple[Description, str] | None:
    """Return what the run of an output computes, and the id of the run; None if there is no run.

    Args:
        store: the output.
        location: its name, for the error.

    Raises:
        BulkError: the description cannot be read, or another version of Facet wrote it.
    """
    try:
        with store.open(_FILE) as file:
            content = json.loads(file.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BulkError(
            f"The description of the run in {location} ({_FILE}) cannot be read: {error}."
        ) from error
    if content.get("format") != FORMAT:
        raise BulkError(
            f"{location} has the format {content.get('format')} of another version of Facet; this version "
            f"reads the format {FORMAT}. Name another OUTPUT, or use that version."
        )
    return Description(**content["run"]), content["id"]


def write_description(store: Store, description: Description) -> str:
    """Write what a new run computes.

    Returns:
        The id of the run.

    Raises:
        OSError: it cannot be written.
    """
    id = secrets.token_hex(8)
    content = {"format": FORMAT, "id": id, "run": asdict(description)}
    store.put(_FILE, json.dumps(content, indent=2).encode())
    return id


def _shown(value: object) -> str:
    return json.dumps(value, sort_keys=True)
