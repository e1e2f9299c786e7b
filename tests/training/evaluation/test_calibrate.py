"""The calibration on several populations, with synthetic vectors, and the populations of a data folder."""

from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from PIL import Image as Pil

from app.pipeline.calibration import MIN_PAIRS_OF_PEOPLE, Pairs
from tests.fakes import fake_analyzer
from training.data.datasets.identities import IdentityImage
from training.evaluation import face_vectors, populations
from training.evaluation.calibrate import TooFewPeople, calibrate, keep_calibration
from training.evaluation.populations import Population, pairs_of, read_populations
from training.exporting.calibration import read_calibration
from training.reports.verification import calibration_card_rows, calibration_lines

EMBEDDER = fake_analyzer().embedder("vectors")


def pairs(seed: int, people: int, likeness: float) -> Pairs:
    """Return pairs of four images of each person; the likeness moves all vectors to one direction."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 4)
    centres = rng.normal(size=(people, 24)) + likeness
    vectors = centres[labels] + 0.3 * rng.normal(size=(len(labels), 24))
    return Pairs(
        EMBEDDER, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels
    )


@pytest.fixture(scope="module")
def two() -> dict[str, Pairs]:
    return {"LFW View 1": pairs(0, 60, 0.0), "others": pairs(1, 40, 0.5)}


def test_the_far_of_no_population_exceeds_the_rate(two: dict[str, Pairs]) -> None:
    calibration, figures = calibrate(EMBEDDER.spec, two)
    assert calibration.default_far == calibration.thresholds[-1].far == 0.003
    assert calibration.probability is not None
    for one in calibration.thresholds:
        fars = [figure.rates[one.far].far.value for figure in figures]
        assert 0.5 * one.far < fars[1] <= one.far  # the others are more similar to each other
        assert fars[0] < fars[1]
        assert one.tar == pytest.approx(two["LFW View 1"].measure(one.threshold).tar.value, abs=1e-4)
    assert figures[1].rates[calibration.thresholds[-1].far].pairs_of_people >= MIN_PAIRS_OF_PEOPLE
    assert calibration.thresholds[-1].far > 1e-5
    assert calibration.calibrated_on == (
        "all impostor pairs of LFW View 1, others, so that the FAR of none exceeds the rate; TAR on all "
        "genuine pairs of LFW View 1"
    )


def test_one_population_has_the_rates_itself(two: dict[str, Pairs]) -> None:
    calibration, (figure,) = calibrate(EMBEDDER.spec, {"LFW View 1": two["LFW View 1"]})
    for one in calibration.thresholds:
        assert 0.5 * one.far < figure.rates[one.far].far.value <= one.far


def test_few_people_stop_at_the_lowest_rate_that_they_support() -> None:
    calibration, (figure,) = calibrate(EMBEDDER.spec, {"staff": pairs(0, 15, 0.0)})
    rates = [one.far for one in calibration.thresholds]
    assert rates[0] == 0.1
    assert calibration.default_far == rates[-1] > 0.001
    assert figure.rates[rates[-1]].pairs_of_people >= MIN_PAIRS_OF_PEOPLE
    assert calibration.calibrated_on.startswith("all impostor pairs of staff, ")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (pairs(0, 4, 0.0), "A FAR of 0.1 cannot be measured on staff"),
        (pairs(0, 1, 0.0), "staff must have two people, and one with two images"),
        (Pairs(EMBEDDER, np.eye(24, dtype=np.float32), np.arange(24)), "staff must have two people, and one"),
        (
            Pairs(EMBEDDER, np.eye(24, dtype=np.float32), np.arange(24) % 12),
            "are not more similar than images",
        ),
    ],
)
def test_people_on_whom_nothing_can_be_measured_are_refused(made: Pairs, message: str) -> None:
    with pytest.raises(TooFewPeople, match=message):
        calibrate(EMBEDDER.spec, {"staff": made})


def test_a_similarity_that_is_a_probability_has_no_curve(two: dict[str, Pairs]) -> None:
    calibration, _ = calibrate(EMBEDDER.spec.model_copy(update={"metric": "probability"}), two)
    assert calibration.probability is None


def test_the_report_has_the_rates_of_each_population(two: dict[str, Pairs]) -> None:
    _, figures = calibrate(EMBEDDER.spec, two)
    text = "\n".join(calibration_lines("m", figures))
    assert "m on others: 40 people, 160 images with a face, 240 genuine pairs, 12480 impostor pairs" in text
    rows = calibration_card_rows(figures)
    measured = figures[1].rates[0.01].far
    assert rows["calibration, others, FAR at the threshold for FAR 0.01"] == (
        f"{measured.value:.2e} ({measured.low:.2e} to {measured.high:.2e})"
    )
    assert "calibration, LFW View 1, TAR at the threshold for FAR 0.01" in rows


def test_a_kept_calibration_does_not_change_the_others(two: dict[str, Pairs], tmp_path: Path) -> None:
    calibration, _ = calibrate(EMBEDDER.spec, two)
    keep_calibration(tmp_path, "first", calibration)
    keep_calibration(tmp_path, "second", calibration.model_copy(update={"calibrated_on": "else"}))
    assert read_calibration(tmp_path)["first"] == calibration
    assert read_calibration(tmp_path)["second"].calibrated_on == "else"


def write_image(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.new("RGB", (24, 20), colour).save(path)


def test_the_populations_are_those_of_the_folder_without_wrong_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("# a comment\nidentities/celeba/b/  # another\nidentities/vggface2/c/1.jpg\n\n")
    monkeypatch.setattr(populations, "WRONG_LABELS", wrong)
    for person in "abc":
        for i in (1, 2):
            write_image(tmp_path / f"identities/celeba/{person}/{i}.jpg", (99, 0, 0))
            write_image(tmp_path / f"identities/vggface2/{person}/{i}.jpg", (99, 0, 0))
    lfw = tmp_path / "lfw"
    lfw.mkdir()
    (lfw / "pairsDevTest.txt").write_text("1\nx\t1\t2\nx\t1\ty\t1\n")
    found = {one.name: [(i.person, i.address) for i in one.images] for one in read_populations(tmp_path)}
    assert found == {
        "LFW View 1": [("x", "x/x_0001.jpg"), ("x", "x/x_0002.jpg"), ("y", "y/y_0001.jpg")],
        "CelebA": [(p, f"{p}/{i}.jpg") for p in "ac" for i in (1, 2)],
        "VGGFace2": [
            ("a", "a/1.jpg"),
            ("a", "a/2.jpg"),
            ("b", "b/1.jpg"),
            ("b", "b/2.jpg"),
            ("c", "c/2.jpg"),
        ],
    }


def test_the_committed_list_of_wrong_labels_names_images_of_the_populations() -> None:
    lines = [line.partition("#")[0].strip() for line in populations.WRONG_LABELS.read_text().splitlines()]
    assert any(lines)
    assert all(line.startswith(("lfw/", "identities/")) for line in lines if line)


def test_vectors_are_computed_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzer, calls = fake_analyzer(), []
    for person, colour in {"a": (200, 60, 60), "b": (60, 60, 200)}.items():
        for i in range(2):
            write_image(tmp_path / person / f"{i}.png", colour)
    images = [IdentityImage(path, path.parent.name, path.name) for path in sorted(tmp_path.glob("*/*"))]
    represent = face_vectors.represent

    def counted(*arguments: object) -> ndarray:
        calls.append(arguments)
        return represent(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(face_vectors, "represent", counted)
    population, cache = Population("Some people", images), tmp_path / "cache"
    first = pairs_of(analyzer, "vectors", population, cache)
    again = pairs_of(analyzer, "vectors", population, cache)
    np.testing.assert_array_equal(first.similarity, again.similarity)
    assert (first.people, len(first.genuine), len(first.impostors), len(calls)) == (2, 2, 4, 1)
    pairs_of(analyzer, "other-vectors", population, cache)
    assert len(calls) == 2
    write_image(tmp_path / "a/0.png", (60, 200, 60))
    changed = pairs_of(analyzer, "vectors", population, cache)
    assert len(calls) == 3
    assert not np.array_equal(changed.similarity, first.similarity)
    monkeypatch.setattr(populations, "_code", lambda: "changed")
    pairs_of(analyzer, "vectors", population, cache)
    assert len(calls) == 4
