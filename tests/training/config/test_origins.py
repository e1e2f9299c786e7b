"""The origin of a run's weights, with those of the runs that it started from."""

import json
from pathlib import Path

import pytest

from tests.training.finished_runs import write_run_file
from training.config.origins import Origin, origin_of, start_facts
from training.config.registry import RUN_FILE, RunError, find
from training.config.schema import EmbeddingConfig, RunConfig

TRIPLET = find("triplet").CONFIG
SOFTMAX = find("softmax").CONFIG


def write(folder: Path, config: RunConfig, source: str, people: list[str] | None, **more: object) -> Path:
    """Write the record of a run; its last person is for validation."""
    path = write_run_file(folder, config, [source]) / RUN_FILE
    facts = json.loads(path.read_text()) | more
    names = ([], []) if people is None else (people[:-1], people[-1:])
    facts["data"] |= {
        split: {"names": these} if people else {}
        for split, these in zip(("train", "validation"), names, strict=True)
    }
    path.write_text(json.dumps(facts))
    return folder


def test_a_run_from_random_weights_has_its_own_data_and_people(tmp_path: Path) -> None:
    run = write(tmp_path / "softmax", SOFTMAX, "folders:a", ["a/x", "a/y"])
    assert origin_of(run) == Origin(("folders:a",), frozenset({"a/x", "a/y"}))
    assert start_facts(SOFTMAX, run, False) == {}


def test_a_run_has_the_data_and_people_of_the_run_that_it_starts_from(tmp_path: Path) -> None:
    write(tmp_path / TRIPLET.start_from, SOFTMAX, "folders:a", ["a/x", "a/y"])
    run = write(tmp_path / "triplet", TRIPLET, "folders:b", ["b/x", "b/z"])
    expected = Origin(("folders:b", "folders:a"), frozenset({"a/x", "a/y", "b/x", "b/z"}))
    assert origin_of(run) == expected
    start = start_facts(TRIPLET, run, False)
    copied = write(tmp_path / "elsewhere/triplet", TRIPLET, "folders:b", ["b/x", "b/z"], **start)
    assert origin_of(copied) == expected
    assert start_facts(TRIPLET, copied, True) == start
    further = write(tmp_path / "elsewhere/more", _start_from("triplet"), "folders:c", ["c/x", "c/y"])
    assert origin_of(further).sources == ("folders:c", "folders:b", "folders:a")


def _start_from(name: str) -> RunConfig:
    return EmbeddingConfig.model_validate(TRIPLET.model_dump() | {"start_from": name})


def test_a_missing_run_is_named_also_after_a_further_one(tmp_path: Path) -> None:
    run = write(tmp_path / "triplet", TRIPLET, "folders:b", ["b/x", "b/z"])
    assert origin_of(run) == Origin(("folders:b",), None, "distilled")
    start = start_facts(TRIPLET, run, False)
    assert start == {"start": {"sources": [], "people": None, "unknown_start": "distilled"}}
    further = write(tmp_path / "more", _start_from("triplet"), "folders:c", ["c/x", "c/y"])
    assert origin_of(further) == Origin(("folders:c", "folders:b"), None, "distilled")


def test_published_weights_are_no_data_of_a_run(tmp_path: Path) -> None:
    run = write(tmp_path / "cascade_rnet", find("cascade_rnet").CONFIG, "wider", None)
    assert origin_of(run) == Origin(("wider",), None)


def test_a_resumed_run_without_the_record_has_none(tmp_path: Path) -> None:
    run = write(tmp_path / "triplet", TRIPLET, "folders:b", None)
    assert start_facts(TRIPLET, run, True) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"name": "x"}}', '{"config": 3}'])
def test_a_damaged_record_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_FILE).write_text(text)
    with pytest.raises(RunError, match=r"run\.json (is damaged|holds no valid configuration)"):
        origin_of(tmp_path)


def test_a_record_without_data_is_one_line(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_text(json.dumps({"config": SOFTMAX.model_dump()}))
    with pytest.raises(RunError, match=r"run\.json does not say on which data the run was trained\.$"):
        origin_of(tmp_path)
