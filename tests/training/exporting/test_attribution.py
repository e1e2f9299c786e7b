"""What specs say of the weights of runs: licence, research only, and the data in words."""

import json
from pathlib import Path

import pytest

from app.vision.spec import UNSPECIFIED_LICENCE
from tests.training.finished_runs import write_run_file
from training.config.registry import RUN_FILE, RunError, find
from training.exporting.attribution import RESEARCH_ONLY, attribution_of, in_words


def run(folder: Path, name: str, sources: list[str], **data: object) -> Path:
    write_run_file(folder / name, find(name).CONFIG, sources)
    path = folder / name / RUN_FILE
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"data": facts["data"] | data}))
    return folder / name


@pytest.mark.parametrize(
    ("name", "sources", "words"),
    [
        ("cnn68", ["300w"], "300-W (HELEN, AFW, LFPW training parts)"),
        ("softmax", ["folders:CelebA"], "CelebA"),
        ("softmax", ["celeba:pictures"], "CelebA"),
        ("softmax", ["folders:staff", "folders:img_align_celeba"], "the folder staff and CelebA"),
        ("softmax", ["folders:vggface2"], "VGGFace2"),
        ("softmax", ["lfw:lfw-deepfunneled"], "LFW"),
        ("cascade_pnet", ["wider", "mtfl5"], "WIDER FACE and MTFL"),
        ("cascade_pnet", ["boxes:wider-part"], "WIDER FACE"),
        ("cnn68", ["pts:helen"], "300-W (HELEN, AFW, LFPW training parts)"),
        ("cnn15", ["pseudolabels"], "labels by a net for research only"),
    ],
)
def test_research_data_makes_the_weights_research_only(
    tmp_path: Path, name: str, sources: list[str], words: str
) -> None:
    attribution = attribution_of([run(tmp_path, name, sources)], "mine")
    assert (attribution.licence, attribution.research_only) == (RESEARCH_ONLY, True)
    assert in_words(sources) == words
    with pytest.raises(
        RunError, match=r"^--licence cannot be given, because the weights come from .* only\. Leave"
    ):
        attribution_of([tmp_path / name], "mine", "MIT")


@pytest.mark.parametrize(
    "source",
    [
        "folders:staff",
        "folders:wolfwood",
        "folders:wider_family",
        "folders:lfwx",
        "pts:staff",
        "boxes:cameras",
    ],
)
def test_of_other_data_nothing_is_claimed(tmp_path: Path, source: str) -> None:
    attribution = attribution_of([run(tmp_path, "softmax", [source])], "mine")
    assert (attribution.licence, attribution.research_only) == (UNSPECIFIED_LICENCE, False)
    assert in_words([source]) == f"the folder {source.partition(':')[2]}"


@pytest.mark.parametrize(
    ("given", "licence", "research_only"),
    [
        ("mit", "MIT", False),
        ("CC-BY-4.0", "CC-BY-4.0", False),
        ("apache-2.0 or LicenseRef-Acme.terms", "Apache-2.0 OR LicenseRef-Acme.terms", False),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0", True),
        ("PolyForm-Noncommercial-1.0.0", "PolyForm-Noncommercial-1.0.0", True),
        ("MIT OR CC-BY-NC-4.0", "MIT OR CC-BY-NC-4.0", False),
        ("MIT AND CC-BY-NC-4.0", "MIT AND CC-BY-NC-4.0", True),
        (RESEARCH_ONLY, RESEARCH_ONLY, True),
        (UNSPECIFIED_LICENCE, UNSPECIFIED_LICENCE, False),
    ],
)
def test_the_user_names_the_licence_of_own_data(
    tmp_path: Path, given: str, licence: str, research_only: bool
) -> None:
    attribution = attribution_of([run(tmp_path, "softmax", ["folders:staff"])], "mine", given)
    assert (attribution.licence, attribution.research_only) == (licence, research_only)


@pytest.mark.parametrize("given", ["", "free", "MIT AND", "LicenseRef-", "LicenseRef-a b", "MIT; rm -rf"])
def test_a_licence_that_is_no_expression_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(RunError, match=r"is not an SPDX licence expression\. Give one such as MIT") as caught:
        attribution_of([run(tmp_path, "softmax", ["folders:staff"])], "mine", given)
    assert "\n" not in str(caught.value)


def test_rows_in_kaggles_format_are_those_of_300w_unless_it_is_known_otherwise(tmp_path: Path) -> None:
    for folder, rows, research_only in (
        ("a", {}, True),
        ("b", {"rows_of_300w": 9}, True),
        ("c", {"rows_of_300w": 0}, False),
    ):
        made = run(tmp_path / folder, "cnn15", ["kaggle15"], **rows)
        assert attribution_of([made], "mine").research_only is research_only


@pytest.mark.parametrize("source", ["", " ", "two\nlines", "a\0b"])
def test_a_source_that_is_no_line_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(RunError, match=r"must be a line of text\."):
        attribution_of([run(tmp_path, "softmax", ["folders:staff"])], "mine", None, source)


def test_one_research_run_makes_the_whole_cascade_research_only(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, name, [source])
        for name, source in (("cascade_pnet", "own"), ("cascade_rnet", "wider"), ("cascade_onet", "own"))
    ]
    assert attribution_of(runs, "mine").research_only
    assert not attribution_of([runs[0], runs[2]], "mine").research_only


def test_initial_weights_of_a_research_run_make_the_weights_research_only(tmp_path: Path) -> None:
    run(tmp_path, "distilled", ["folders:celeba"])
    started = run(tmp_path, "triplet", ["folders:staff"])
    assert attribution_of([started], "mine").research_only
    run(tmp_path, "distilled", ["folders:staff"])
    assert attribution_of([started], "mine").licence == UNSPECIFIED_LICENCE


def test_initial_weights_of_unknown_data_are_not_taken_for_free(tmp_path: Path) -> None:
    started = run(tmp_path, "triplet", ["folders:staff"])
    assert attribution_of([started], "mine").research_only
    with pytest.raises(RunError, match="started from those of the run distilled, whose data is not recorded"):
        attribution_of([started], "mine", "MIT")
