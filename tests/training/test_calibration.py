"""The curve from a similarity to a probability, kept thresholds, and promised rates on other people."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from app.vision.spec import Calibration, Probability
from tests.fakes import fake_analyzer
from training import evaluate_verification as e
from training.calibration import Calibrated, fit_probability, read_calibration, write_calibration
from training.data.lfw import Pair
from training.data.people import Picture


def at(curve: Probability, similarity: float) -> float:
    return float(1 / (1 + np.exp(-(curve.slope * similarity + curve.offset))))


def test_the_curve_of_two_normal_kinds_is_their_likelihood_ratio() -> None:
    # Of means m and n and one variance v, the log ratio is (m - n) / v * (x - (m + n) / 2).
    rng = np.random.default_rng(0)
    curve = fit_probability(rng.normal(0.6, 0.1, 40_000), rng.normal(0.2, 0.1, 200_000))
    assert curve.slope == pytest.approx(40, rel=0.05)
    assert -curve.offset / curve.slope == pytest.approx(0.4, abs=0.005)


def test_both_kinds_weigh_the_same_however_many_there_are() -> None:
    rng = np.random.default_rng(1)
    genuine, impostors = rng.normal(0.5, 0.1, 500), rng.normal(0.3, 0.1, 500)
    few, many = fit_probability(genuine, impostors), fit_probability(genuine, np.tile(impostors, 50))
    assert many.slope == pytest.approx(few.slope, rel=0.02)
    assert many.offset == pytest.approx(few.offset, rel=0.02)


def test_kinds_that_never_overlap_have_a_finite_slope() -> None:
    curve = fit_probability(np.linspace(0.7, 0.9, 50), np.linspace(-0.1, 0.1, 50))
    assert 0 < curve.slope < 1000
    assert at(curve, 0.7) > 0.9
    assert at(curve, 0.1) < 0.1


def test_pairs_without_a_similarity_do_not_count() -> None:
    rng = np.random.default_rng(2)
    genuine, impostors = rng.normal(0.5, 0.1, 300), rng.normal(0.3, 0.1, 300)
    with_gaps = np.concatenate([genuine, [np.nan, np.nan]])
    assert fit_probability(with_gaps, impostors) == fit_probability(genuine, impostors)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    known = {
        "m": Calibrated(
            calibrated_on="something",
            thresholds=(Calibration(far=0.01, threshold=0.3, tar=0.9),),
            default_far=0.01,
            probability=Probability(slope=9, offset=-3),
        )
    }
    assert read_calibration(tmp_path) == {}
    write_calibration(tmp_path, known)
    assert read_calibration(tmp_path) == known


@pytest.fixture
def people(tmp_path: Path) -> list[Picture]:
    """Three people of a colour each, three pictures of everyone; one picture of the last is dark."""
    out = []
    for person, colour in {"a": (250, 60, 60), "b": (60, 250, 60), "c": (60, 60, 250)}.items():
        for i in range(3):
            path = tmp_path / person / f"{person}{i}.png"
            path.parent.mkdir(exist_ok=True)
            shade = tuple(v - 10 * i for v in colour)
            Pil.new("RGB", (100, 80), (0, 0, 0) if (person, i) == ("c", 2) else shade).save(path)
            out.append(Picture(path, person, path.name))
    return out


def rates(people: list[Picture], most: int) -> e.Rates:
    analyzer, chosen = fake_analyzer(), e.at_most(people, most)
    located = e.locate(analyzer, [p.path for p in chosen], [p.person for p in chosen])
    return e.measure_rates(analyzer.embedder("vectors"), located)


def test_rates_are_those_of_all_pairs_and_a_missing_face_is_refused(people: list[Picture]) -> None:
    found = rates(people, most=3)
    assert (found.people, found.genuine, found.impostors) == (3, 9, 21)
    assert found.undetected == ["c2.png"]
    for row, promised, threshold in zip(found.rows, (0.01, 0.001), (0.5, 0.75), strict=True):
        assert (row.promised, row.threshold) == (promised, threshold)
        assert row.far == 0
        assert row.tar == pytest.approx(7 / 9)


def test_no_more_than_so_many_pictures_of_a_person(people: list[Picture]) -> None:
    found = rates(people, most=2)
    assert (found.genuine, found.impostors, found.undetected) == (3, 12, [])


def test_pairs_are_measured_by_the_protocol(people: list[Picture]) -> None:
    path = {p.address[:2]: p.path for p in people}
    genuine = [Pair(path[f"{who}{i}"], path[f"{who}{j}"], True) for who in "ab" for i, j in ((0, 1), (1, 2))]
    impostors = [Pair(path[f"a{i}"], path[f"b{j}"], False) for i, j in ((0, 1), (1, 2), (2, 0), (0, 0))]
    missing = Pair(path["c0"], path["c2"], True)
    analyzer, pairs = fake_analyzer(), 3 * (genuine + impostors) + [missing]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(e, "FARS", (0.1,))
        figures = e.measure(analyzer.embedder("vectors"), pairs, e.located_pairs(analyzer, pairs))
    assert (figures.model, figures.pairs, figures.undetected) == ("vectors", 25, ["c2.png"])
    assert figures.accuracy == pytest.approx(24 / 25, abs=0.02)
    assert [c.tar for c in figures.calibration] == [pytest.approx(12 / 13)]
    assert figures.probability is not None
    assert any("no face: c2.png" in line for line in figures.lines("pairs.txt"))
    assert figures.rows("pairs.txt")["LFW pairs.txt, pictures without a face"] == "1"


def test_a_roc_curve_is_drawn(tmp_path: Path) -> None:
    e.plot({"m": (np.array([0, 0.1, 1]), np.array([0, 0.9, 1]))}, tmp_path / "sub" / "roc.png", "a title")
    with Pil.open(tmp_path / "sub" / "roc.png") as drawn:
        assert drawn.size == (1100, 480)
