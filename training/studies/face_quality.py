"""The coefficients of the quality of a face, and how much the rejection of bad faces lowers the error.

    python -m training.studies.face_quality --data DATA

The study measures the signals of `app.pipeline.quality` on photographs of CelebA, VGGFace2 and LFW. A
logistic regression on CelebA and VGGFace2 predicts the share of comparisons with other photographs of the
person that are accepted at a FAR of 1e-4. Photographs that hardly match any other of their person are left
out of the fit, because most of them show somebody else.

The study prints the coefficients for `training/exporting/published.py`, and error-versus-reject curves at a
FAR of 1e-3: the false reject rate without the faces of the lowest quality. The curves of CelebA and VGGFace2
are means over random halves of the people: the coefficients are fitted on one half and measured on the other.
LFW is in no fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float32, Float64
from matplotlib import pyplot as plt
from numpy import ndarray
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.embedder import FusedEmbedder
from app.pipeline.quality import Signals
from app.runtime import model_store
from app.runtime.manifest import models_for
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.identities import IdentityImage, read_people
from training.data.datasets.images import read_image
from training.data.datasets.lfw import read_pairs
from training.evaluation.rates import limit_per_person
from training.evaluation.user_errors import one_line_errors
from training.reports import markdown

PAGE, PLOT = Path("docs/experiments/face-quality.md"), Path("docs/images/face-quality.png")
FIT_FAR, FAR, MISLABELLED_FAR = 1e-4, 1e-3, 1e-2
MISLABELLED_QUANTILE = 0.75
REJECTED = (0.0, 0.05, 0.1, 0.2, 0.3)
HALVES = 20
NAMES = tuple(field.name for field in fields(Signals))


@dataclass(frozen=True)
class Population:
    """The measured faces of some people.

    Attributes:
        vectors: the embeddings.
        signals: the signals, in the order of `Signals`.
        people: the person of each face.
    """

    vectors: Float32[ndarray, "n d"]
    signals: Float32[ndarray, "n s"]
    people: ndarray

    def of(self, chosen: ndarray) -> "Population":
        """Return the faces for which `chosen` is true."""
        return Population(self.vectors[chosen], self.signals[chosen], self.people[chosen])


@dataclass(frozen=True)
class Coefficients:
    """The logistic curve: sigmoid(bias + signals @ weights)."""

    bias: float
    weights: Float64[ndarray, " s"]

    def order(self, population: Population) -> ndarray:
        """Return the logits of the qualities of the faces."""
        return self.bias + population.signals @ self.weights


def main(
    data: Annotated[Path, typer.Option(help="The folder that holds the datasets.")],
    models: Annotated[Path, typer.Option(help="The model folder.")] = Path("models"),
    most: Annotated[int, typer.Option(help="Maximum number of photographs per person.")] = 24,
    kept: Annotated[Path | None, typer.Option(help="A file of measured signals, made if missing.")] = None,
) -> None:
    """Print the coefficients and the error-versus-reject curves; write the tables and the plot."""
    with one_line_errors():
        populations = _measured(data, models, most, kept)
        celeba, vggface2, lfw = (populations[name] for name in ("CelebA", "VGGFace2", "LFW"))
        final = fit([celeba, vggface2])
        curves = {
            "CelebA, people held out": _over_halves(celeba, vggface2),
            "VGGFace2, people held out": _over_halves(vggface2, celeba),
            "LFW View 1": errors(lfw, final.order(lfw)),
        }
        tables = [_coefficients(final, populations), _errors(curves)]
        markdown.fill(PAGE, "quality", markdown.dated("\n\n".join(tables)))
        print("\n\n".join(tables))
        _plot(curves)


def fit(populations: Sequence[Population]) -> Coefficients:
    """Return the coefficients that predict the share of accepted comparisons of each face."""
    signals, shares = (np.concatenate(part) for part in zip(*map(_targets, populations), strict=True))
    mean, spread = signals.mean(axis=0), signals.std(axis=0)
    scaled = np.tile((signals - mean) / spread, (2, 1))
    labels = np.repeat([1, 0], len(signals))
    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(scaled, labels, sample_weight=np.concatenate([shares, 1 - shares]))
    weights = (model.coef_[0] / spread).astype(np.float64)
    return Coefficients(float(model.intercept_[0] - weights @ mean), weights)


def errors(population: Population, order: ndarray) -> Float64[ndarray, " r"]:
    """Return the false reject rate at FAR 1e-3, without each share of the faces that are lowest in order."""
    similarity, same = _pairs(population)
    upper = np.triu_indices(len(similarity), 1)
    values, genuine = similarity[upper], same[upper]
    rejected = values[genuine] < np.quantile(values[~genuine], 1 - FAR)
    rank = order.argsort().argsort() / len(order)
    lower = np.minimum(rank[upper[0]], rank[upper[1]])[genuine]
    return np.array([rejected[lower >= share].mean() for share in REJECTED])


def _pairs(population: Population) -> tuple[ndarray, ndarray]:
    people = population.people
    same = people[:, None] == people
    np.fill_diagonal(same, val=False)
    return population.vectors @ population.vectors.T, same


def _targets(population: Population) -> tuple[ndarray, ndarray]:
    """Return the signals of faces with other photographs of their person, and the shares of accepted ones."""
    similarity, same = _pairs(population)
    impostors = similarity[population.people[:, None] != population.people]
    strict, loose = (np.quantile(impostors, 1 - far) for far in (FIT_FAR, MISLABELLED_FAR))
    known = same.any(axis=1)
    typical = np.full(len(same), -1.0)
    genuine = np.where(same[known], similarity[known], np.nan)
    typical[known] = np.nanquantile(genuine, MISLABELLED_QUANTILE, axis=1)
    used = typical > loose
    shares = ((similarity >= strict) & same)[used].sum(axis=1) / same[used].sum(axis=1)
    return population.signals[used], shares


def _over_halves(population: Population, other: Population) -> Float64[ndarray, " r"]:
    random, people, found = np.random.default_rng(0), np.unique(population.people), []
    for _ in range(HALVES):
        half = np.isin(population.people, random.permutation(people)[: len(people) // 2])
        test = population.of(~half)
        found.append(errors(test, fit([population.of(half), other]).order(test)))
    return np.mean(found, axis=0)


def _measured(data: Path, models: Path, most: int, kept: Path | None) -> dict[str, Population]:
    if kept is not None and kept.exists():
        arrays = np.load(kept)
        names = [key.removesuffix(".people") for key in arrays.files if key.endswith(".people")]
        return {
            name: Population(*(arrays[f"{name}.{part.name}"] for part in fields(Population)))
            for name in names
        }
    faces = sorted({path for pair in read_pairs(data / "lfw") for path in (pair.a, pair.b)})
    images = {
        "CelebA": limit_per_person(read_people([f"folders:{data}/identities/celeba"]), most),
        "VGGFace2": limit_per_person(read_people([f"folders:{data}/identities/vggface2"]), most),
        "LFW": [IdentityImage(path, path.parent.name, path.name) for path in faces],
    }
    wanted = models_for(models, {"detect": None, "embed": "fused"})
    analyzer = Analyzer(model_store.load(models, "cpu", names=wanted))
    populations = {name: measure(analyzer, chosen) for name, chosen in images.items()}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        parts = {f"{n}.{part}": value for n, one in populations.items() for part, value in vars(one).items()}
        np.savez(kept, **parts)
    return populations


def measure(analyzer: Analyzer, images: Sequence[IdentityImage]) -> Population:
    """Return the vectors and signals of the largest faces of images; without those that have no face."""
    detector, embedder = analyzer.detector(None), analyzer.embedder("fused")
    assert isinstance(embedder, FusedEmbedder)
    vectors, signals, people = [], [], []
    for image in tqdm(images, unit="image", disable=None, leave=False):
        picture = ImagePyramid(read_image(image.path))
        face = detector.detect(picture, DetectOptions(), Timing()).largest(picture.width, picture.height)
        if len(face):
            found, measured = analyzer.measure(picture, face, embedder, Timing())
            vectors.append(found[0])
            signals.append([getattr(measured, name)[0] for name in NAMES])
            people.append(image.person)
    return Population(np.array(vectors), np.array(signals, np.float32), np.array(people))


def _coefficients(found: Coefficients, populations: dict[str, Population]) -> str:
    spread = np.concatenate([one.signals for one in populations.values()]).std(axis=0)
    rows = [["bias", f"{found.bias:.3g}", ""]]
    rows += [
        [name, f"{weight:.3g}", f"{weight * width:.2f}"]
        for name, weight, width in zip(NAMES, found.weights, spread, strict=True)
    ]
    return markdown.table(["signal", "coefficient", "times its spread"], rows)


def _errors(curves: dict[str, Float64[ndarray, " r"]]) -> str:
    head = ["people", *(f"{share:.0%} rejected" for share in REJECTED), "lower at 10% by"]
    at = REJECTED.index(0.1)
    rows = [
        [name, *(f"{100 * value:.2f}%" for value in curve), f"{1 - curve[at] / curve[0]:.0%}"]
        for name, curve in curves.items()
    ]
    return markdown.table(head, rows)


def _plot(curves: dict[str, Float64[ndarray, " r"]]) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, curve in curves.items():
        axes.plot([100 * share for share in REJECTED], curve / curve[0], marker="o", label=name)
    axes.set_xlabel("rejected faces, lowest quality first (%)")
    axes.set_ylabel("false reject rate at FAR 0.001,\nrelative to that without rejection")
    axes.set_ylim(0, 1.05)
    axes.grid(alpha=0.3)
    axes.legend()
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=120)


if __name__ == "__main__":
    typer.run(main)
