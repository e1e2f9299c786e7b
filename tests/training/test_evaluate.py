"""The command `training.evaluate`: mistakes of its user are one line, and a run over small fake datasets."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image as Pil

from tests.training.exports import exported
from tests.training.finished_runs import write_finished_run
from tests.training.people import write_people
from training import evaluate
from training.reports import model_cards

EVALUATE = "python -m training.evaluate"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["landmarks", "--model", "sface"], "No model for landmarks is named 'sface'. Choose one of: cnn15"),
        (["landmarks", "--model", "cnn68", "--detector", "x"], "The dataset 300w in"),
        (["landmarks", "--model", "cnn68", "--source", "x"], "There is no dataset 'x'."),
        (["landmarks"], "Give either --model or --run."),
        (["landmarks", "--run", "training/records/softmax"], "holds a run of kind EmbeddingConfig"),
        (["detection", "--model", "x"], "No model for detect is named 'x'. Choose one of: cascade, mtcnn"),
        (["verification", "--run", "x", "--record"], "--record needs --model: a run has no model card."),
        (["verification", "--model", "cnn68"], "No model for embed is named 'cnn68'."),
        (["verification", "--model", "sface"], "pairsDevTest.txt does not exist."),
        (["robustness", "--model", "x"], "No model for landmarks is named 'x'."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main([*arguments, "--data", str(tmp_path)])
    printed = capsys.readouterr().err.strip() or str(ended.value.code)
    assert message in printed
    assert "\n" not in printed


def test_a_missing_data_folder_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main(["detection", "--data", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "--data" in capsys.readouterr().err


def test_an_unknown_kind_of_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="kind:x"):
        evaluate.main(["rates", "--source", "kind:x", "--model", "sface"])


def test_figures_of_a_landmark_net_are_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "300w/lfpw/testset"
    folder.mkdir(parents=True)
    shutil.copy("tests/photos/obama.jpg", folder / "a.jpg")
    points = "\n".join(f"{x:.1f} {y:.1f}" for x, y in np.random.default_rng(0).uniform(90, 150, (68, 2)))
    (folder / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    out = tmp_path / "out/figures.json"
    arguments = ["landmarks", "--data", str(tmp_path), "--model", "landmarks15", "--detector", "mtcnn"]
    with pytest.raises(SystemExit) as ended:
        evaluate.main([*arguments, "--out", str(out)])
    assert ended.value.code == 0
    saved = json.loads(out.read_text())
    assert saved["model"] == "landmarks15"
    assert "300w test (1 faces), 15 points, end to end" in [table["title"] for table in saved["tables"]]
    assert "undetected: " in capsys.readouterr().out


def test_models_of_several_folders_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[tuple[Any, ...]] = []
    record = model_cards.record

    def watched(*arguments: Any) -> None:
        recorded.append(arguments)
        record(*arguments)

    monkeypatch.setattr(model_cards, "record", watched)
    people, own = tmp_path / "people", tmp_path / "own"
    people.mkdir()
    for image in write_people(people):
        Pil.open("tests/photos/obama.jpg").resize((200, 240)).save(image.path)
    run = tmp_path / "runs" / "softmax"
    write_finished_run(run, "softmax", ["folders:staff"])
    exported(own, run, "--name", "staff")
    arguments = ["rates", "--source", f"folders:{people}", "--model", "staff", "--most", "2", "--record"]
    with pytest.raises(SystemExit) as ended:
        evaluate.main([*arguments, "--models", f"models:{own}"])
    assert ended.value.code == 0
    assert "staff on people: 3 people" in capsys.readouterr().out
    assert list(json.loads((own / "metrics.json").read_text())) == ["staff"]
    ((folder, name, _, command),) = recorded
    assert (folder, name) == (own, "staff")
    assert command == (
        f"{EVALUATE} rates --source folders:{people} --model staff --models models:{own} --most 2"
    )


def context_of(command: str, folder: Path) -> typer.Context:
    """Return the context of a command of the module, with a folder in the place of DATA."""
    subcommand, *arguments = shlex.split(command)[3:]
    app = typer.main.get_command(evaluate.app)
    assert isinstance(app, typer.core.TyperGroup)
    given = [str(folder) if argument == "DATA" else argument for argument in arguments]
    return app.commands[subcommand].make_context(subcommand, given)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "command",
    [
        f"{EVALUATE} landmarks --data DATA --model m --models a:b --source pts --prepared 'a b' "
        "--detector mtcnn",
        f"{EVALUATE} detection --data DATA --model m --models mine",
        f"{EVALUATE} verification --data DATA --model m --models a:b --precision int8 --detector mtcnn "
        "--pairs pairs.txt",
        f"{EVALUATE} calibrate --data DATA --model m --models mine",
        f"{EVALUATE} rates --source folders:A --source celeba:B --model m --models a:b --precision auto "
        "--run runs/a --run runs/b --most 4",
    ],
)
def test_a_recorded_command_has_every_option_that_changes_figures(command: str, tmp_path: Path) -> None:
    assert evaluate.command_of(context_of(command, tmp_path)) == command


def test_a_recorded_command_has_one_model_and_no_defaults(tmp_path: Path) -> None:
    given = "verification --data DATA --model a --model b --run runs/x --pairs pairsDevTest.txt --threads 2 "
    context = context_of(f"{EVALUATE} {given} --precision float --models models --record", tmp_path)
    recorded = evaluate.command_of(context, model="b", run=None)
    assert recorded == f"{EVALUATE} verification --data DATA --model b"


def test_the_commands_of_the_shipped_figures_are_recorded_as_they_are(tmp_path: Path) -> None:
    figures = json.loads(Path("models/metrics.json").read_text())
    for command in {row["command"] for rows in figures.values() for row in rows.values()}:
        assert evaluate.command_of(context_of(command, tmp_path)) == command


def test_rates_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = Pil.open("tests/photos/obama.jpg").resize((200, 240))
    for image in write_people(tmp_path):
        small.save(image.path)
    arguments = ["rates", "--source", f"folders:{tmp_path}", "--model", "sface", "--most", "2"]
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    assert ended.value.code == 0
    assert (
        f"sface on {tmp_path.name}: 3 people, 3 genuine pairs, 12 impostor pairs" in capsys.readouterr().out
    )
