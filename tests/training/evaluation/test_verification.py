"""LFW's protocol and the calibration, with a fake detector and a fake embedder."""

import pytest

from tests.fakes import fake_analyzer
from tests.training.people import write_people
from training.data.datasets.lfw import Pair
from training.evaluation import verification
from training.reports import verification as report


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> verification.VerificationFigures:
    """The figures on 12 genuine and 12 impostor pairs, and a genuine pair with an undetected face."""
    people = write_people(tmp_path_factory.mktemp("people"))
    path = {image.address[:2]: image.path for image in people}
    genuine = [Pair(path[f"{p}{i}"], path[f"{p}{j}"], True) for p in "ab" for i, j in ((0, 1), (1, 2))]
    impostors = [Pair(path[f"a{i}"], path[f"b{j}"], False) for i, j in ((0, 1), (1, 2), (2, 0), (0, 0))]
    undetected = Pair(path["c0"], path["c2"], True)
    analyzer, pairs = fake_analyzer(), 3 * (genuine + impostors) + [undetected]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "REPORTED_FARS", (0.1, 1e-4))
        return verification.measure(
            analyzer, analyzer.embedder("vectors"), pairs, verification.locate_pairs(analyzer, pairs)
        )


def test_a_pair_with_an_undetected_face_is_an_error(figures: verification.VerificationFigures) -> None:
    assert (figures.model, figures.pairs, figures.undetected) == ("vectors", 25, ["c2.png"])
    assert figures.accuracy == pytest.approx(24 / 25, abs=0.02)
    (one,) = figures.at_far  # the impostor pairs are too few for the second rate
    assert one.far == 0.1
    assert one.tar == pytest.approx(12 / 13)


def test_the_report_names_undetected_faces(figures: verification.VerificationFigures) -> None:
    lines = report.lines(figures, "pairs.txt")
    assert lines[0] == "vectors on LFW pairs.txt: 25 pairs, 1 images without a detected face"
    assert lines[-1] == "  undetected: c2.png"
    assert report.card_rows(figures, "pairs.txt")["LFW pairs.txt, images without a detected face"] == "1"


def test_view_1_has_its_name_on_the_card(figures: verification.VerificationFigures) -> None:
    assert "LFW View 1 pairsDevTest, EER" in report.card_rows(figures, "pairsDevTest.txt")
