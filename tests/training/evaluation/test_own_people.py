"""`evaluate rates` leaves out the people that a net knows from its training."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from tests.training.identity_sets import CONFIG
from tests.training.people import write_people
from training.evaluate import app
from training.evaluation.own_people import people_of_model


def test_the_shipped_nets_know_celeba_and_vggface2() -> None:
    for name in ("triplet", "centerloss", "siamese"):
        assert len(people_of_model(name)) == 254
    assert people_of_model("sface") == frozenset()


def rates(folder: Path, run: Path) -> Result:
    arguments = ["rates", "--source", f"folders:{folder}", "--model", "sface", "--run", str(run)]
    return CliRunner().invoke(app, arguments)


def test_rates_leave_out_people_with_the_names_of_those_of_a_run(tmp_path: Path) -> None:
    """The folder of the measured people has another name than that of the trained ones."""
    (tmp_path / "others").mkdir()
    write_people(tmp_path / "others")
    run = tmp_path / "run"
    run.mkdir()
    data = {"sha256": "0" * 64, "train": {"names": ["set/A"]}, "validation": {"names": ["set/b"]}}
    (run / "run.json").write_text(json.dumps({"config": CONFIG.model_dump(), "data": data}))
    result = rates(tmp_path / "others", run)
    assert "2 people took part in the training of sface. They are left out." in result.output
    assert "fewer than two people did not take part" in str(result.exception)


def test_rates_refuse_a_run_that_does_not_record_its_people(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    write_people(tmp_path / "others")
    run = tmp_path / "run"
    run.mkdir()
    facts = {"config": CONFIG.model_dump(), "data": {"sha256": "0" * 64}}
    (run / "run.json").write_text(json.dumps(facts))
    result = rates(tmp_path / "others", run)
    assert "because the people of its training are not recorded, and they must be left" in str(
        result.exception
    )
