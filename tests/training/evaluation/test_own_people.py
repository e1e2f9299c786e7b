"""`evaluate rates` leaves out the people that a net knows from its training."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.training.identity_sets import CONFIG
from tests.training.people import write_people
from training.evaluate import app
from training.evaluation.own_people import people_of_model


def test_the_shipped_nets_know_celeba_and_vggface2() -> None:
    for name in ("triplet", "centerloss", "siamese"):
        assert len(people_of_model(name)) == 254
    assert people_of_model("sface") == frozenset()


def test_rates_leave_out_the_people_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_people(tmp_path / "set")
    run = tmp_path / "run"
    run.mkdir()
    data = {"sha256": "0" * 64, "train": {"names": ["set/a"]}, "validation": {"names": ["set/b"]}}
    (run / "run.json").write_text(json.dumps({"config": CONFIG.model_dump(), "data": data}))
    arguments = ["rates", "--source", f"folders:{tmp_path / 'set'}", "--model", "sface", "--run", str(run)]
    result = CliRunner().invoke(app, arguments)
    assert "2 people took part in the training of sface. They are left out." in result.output
    assert "fewer than two people did not take part" in str(result.exception)
