"""The calibration on an operator's images, with a fake detector and a fake embedder."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import DEFAULT_FAR, MIN_PAIRS_OF_PEOPLE
from app.pipeline.verifier import DecisionThreshold
from app.runtime.timing import Timing
from app.service import people_folder
from app.service.calibrate import MIN_PEOPLE, Calibrator
from app.service.limits import Limits
from app.service.people_folder import FaceVectors, PeopleFolder, Refused
from tests.service.people import colour_analyzer, write_people


def limits() -> Limits:
    return Limits(
        image_bytes=100_000, image_pixels=100_000, faces=5, boxes=5, batch_images=5, batch_bytes=100_000
    )


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return colour_analyzer()


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, analyzer: Analyzer) -> FaceVectors:
    """The vectors of two images of each of 150 people: 44,700 impostor pairs."""
    folder = write_people(tmp_path_factory.mktemp("people"), 150)
    return PeopleFolder(folder, limits()).read(analyzer, [analyzer.embedder("vectors")])


def vectors_of(folder: Path, analyzer: Analyzer) -> tuple[PeopleFolder, FaceVectors]:
    people = PeopleFolder(folder, limits())
    return people, people.read(analyzer, [analyzer.embedder("vectors"), analyzer.embedder("other-vectors")])


def test_every_image_is_read_or_reported(tmp_path: Path, analyzer: Analyzer) -> None:
    write_people(tmp_path, 3)
    (tmp_path / "person000/broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    Pil.new("RGB", (24, 20), (0, 0, 0)).save(tmp_path / "person001/dark.png")
    (tmp_path / "person001/notes.txt").write_text("text")
    shutil.copy(tmp_path / "person002/0.png", tmp_path / "person002/copy.png")
    shutil.copy(tmp_path / "person002/0.png", tmp_path / "nobody.png")
    (tmp_path / "person002/holidays").mkdir()
    Pil.new("RGB", (24, 20), (250, 250, 250)).save(tmp_path / "person002/holidays/beach.png")
    people, found = vectors_of(tmp_path, analyzer)
    assert [(os.path.relpath(image.path, tmp_path), image.person) for image in found.images] == [
        ("person000/0.png", "person000"),
        ("person000/1.png", "person000"),
        ("person001/0.png", "person001"),
        ("person001/1.png", "person001"),
        ("person002/0.png", "person002"),
        ("person002/1.png", "person002"),
        ("person002/holidays/beach.png", "person002"),
    ]
    for vectors in found.vectors.values():
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert list(found.vectors) == ["vectors", "other-vectors"]
    text = "\n".join(people.summary.lines())
    assert text.startswith("7 images read, 2 failed, 3 left out.")
    for reason in (
        "truncated-image",
        "no-face",
        "not an image",
        "a copy of another",
        "not in the folder of a",
    ):
        assert reason in text
    assert [line.partition(": ")[0] for line in people.failures] == [
        str(tmp_path / "person000/broken.jpg"),
        str(tmp_path / "person001/dark.png"),
    ]


def test_the_vectors_are_those_of_a_verification(tmp_path: Path, analyzer: Analyzer) -> None:
    write_people(tmp_path, 2, 1)
    _, found = vectors_of(tmp_path, analyzer)
    embedder = analyzer.embedder("vectors")
    a, b = (np.asarray(Pil.open(image.path).convert("RGB")) for image in found.images)
    verdict = analyzer.verify((a, b), embedder, DecisionThreshold(0.5, None), Timing()).verdict
    vectors = found.vectors["vectors"]
    assert verdict.similarity == pytest.approx(embedder.compare(vectors[:1], vectors[1:])[0])


def test_a_file_of_two_people_is_an_error_with_both_names(tmp_path: Path) -> None:
    write_people(tmp_path, 3)
    first, second = tmp_path / "person000/1.png", tmp_path / "person002/again.png"
    shutil.copy(first, second)
    with pytest.raises(Refused) as refused:
        PeopleFolder(tmp_path, limits())
    assert refused.value.args[0] == f"{first} and {second} are the same file."


def test_too_many_images_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_folder, "MAX_IMAGES", 5)
    with pytest.raises(Refused, match="has 6 images, but at most 5"):
        PeopleFolder(write_people(tmp_path, 3), limits())


def test_a_folder_without_images_has_too_few_people(tmp_path: Path, analyzer: Analyzer) -> None:
    _, found = vectors_of(tmp_path, analyzer)
    with pytest.raises(Refused, match=f"At least {MIN_PEOPLE} people .* there are 0"):
        Calibrator(analyzer.embedder("vectors"), found)


def test_people_with_one_image_do_not_count(tmp_path: Path, analyzer: Analyzer) -> None:
    write_people(tmp_path / "many", 9)
    write_people(tmp_path / "single", 30, 1, seed=1)
    folder = tmp_path / "all"
    folder.mkdir()
    for kind in ("many", "single"):
        for person in (tmp_path / kind).iterdir():
            person.rename(folder / f"{kind}-{person.name}")
    _, found = vectors_of(folder, analyzer)
    with pytest.raises(Refused, match="there are 9"):
        Calibrator(analyzer.embedder("vectors"), found)


def test_thresholds_have_their_rates_on_the_images(analyzer: Analyzer, faces: FaceVectors) -> None:
    embedder = analyzer.embedder("vectors")
    calibration = Calibrator(embedder, faces).calibration(analyzer)
    vectors, people = faces.vectors["vectors"].astype(np.float64), [image.person for image in faces.images]
    i, j = np.triu_indices(len(people), 1)
    similarity = (vectors[i] * vectors[j]).sum(axis=1)
    same = np.array(people)[i] == np.array(people)[j]
    assert (calibration.people, calibration.images) == (150, 300)
    assert (calibration.genuine_pairs, calibration.impostor_pairs) == (150, 44_700)
    assert calibration.default_far == DEFAULT_FAR
    assert calibration.thresholds[0].far == 0.1
    for one in calibration.thresholds:
        far = (similarity[~same] >= one.threshold).mean()
        assert one.far * 0.6 <= far <= one.far * (1 + 1e-6)
        assert one.tar == pytest.approx((similarity[same] >= one.threshold).mean(), abs=0.01)
        assert one.far_interval[0] <= far <= one.far_interval[1]
        assert similarity[~same][similarity[~same] >= one.threshold].size >= MIN_PAIRS_OF_PEOPLE
    assert calibration.detector == "detector"
    assert set(calibration.weights) == {
        "detector-pnet.onnx",
        "detector-rnet.onnx",
        "detector-onet.onnx",
        "vectors-embedder.onnx",
    }
    assert calibration.probability is not None


def test_the_report_compares_with_the_loaded_calibration(analyzer: Analyzer, faces: FaceVectors) -> None:
    lines = Calibrator(analyzer.embedder("vectors"), faces).lines()
    assert lines[0] == ("vectors: 150 people, 300 images with a face, 150 genuine and 44700 impostor pairs")
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]
    assert rows[0] == [
        "FAR", "threshold now", "measured FAR (95% interval)", "new threshold", "TAR (95% interval)"
    ]  # fmt: skip
    by_rate = {row[0]: row for row in rows[1:]}
    assert by_rate["0.1"][1:3] == ["-", "-"]  # the fake embedder is calibrated for 0.01 and 0.001
    assert by_rate["0.01"][1] == "0.5000"
    assert float(by_rate["0.01"][2].split()[0]) == pytest.approx(0.25, abs=0.03)  # in three dimensions
    heading = next(i for i, line in enumerate(lines) if line.startswith("The most similar images"))
    assert len(lines) - heading == 1 + 5
    similar = [line.split() for line in lines[heading + 1 :]]
    assert all(Path(a).parent != Path(b).parent for _, a, b in similar)


def test_a_rate_that_the_pairs_do_not_support_is_named(analyzer: Analyzer, faces: FaceVectors) -> None:
    calibrator = Calibrator(analyzer.embedder("vectors"), faces)
    lowest = calibrator.calibration(analyzer).thresholds[-1].far
    (line,) = [line for line in calibrator.lines() if "cannot be measured" in line]
    assert float(line.removeprefix("A FAR of ").split()[0]) < lowest
    needed, have = re.search(r"About (\d+) people .* there are (\d+)\.$", line).groups()  # type: ignore[union-attr]
    assert int(have) == 150 < int(needed)


def test_nothing_is_made_if_the_default_rate_is_not_supported(tmp_path: Path, analyzer: Analyzer) -> None:
    _, found = vectors_of(write_people(tmp_path, 20), analyzer)
    calibrator = Calibrator(analyzer.embedder("vectors"), found)
    assert any("cannot be measured" in line for line in calibrator.lines())
    with pytest.raises(
        Refused, match=r"Nothing is written, because the FAR of the default threshold, 0\.001"
    ):
        calibrator.calibration(analyzer)


def test_people_in_wrong_folders_are_refused(analyzer: Analyzer, faces: FaceVectors) -> None:
    people = np.array([image.person for image in faces.images])
    vectors = faces.vectors["vectors"].copy()
    for name in np.unique(people):
        vectors[people == name] = [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(Refused, match="not more similar than images of different people"):
        Calibrator(analyzer.embedder("vectors"), FaceVectors(faces.images, {"vectors": vectors}))
