"""`python -m training.train`: which training a run's name begins, and names that there are not."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from training import train, train_cascade, train_faces, train_landmarks
from training.config import UnknownRun, load

Calls = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What was begun: the name of the training and what it was given."""
    made: Calls = []
    for module in (train_landmarks, train_faces, train_cascade):
        name = module.__name__.removeprefix("training.")
        monkeypatch.setattr(module, "train", lambda *given, name=name: made.append((name, given)))
    monkeypatch.setattr(train_cascade, "read", lambda *given: given)
    return made


def command(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(train.main)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("cnn68", "train_landmarks"),
        ("landmarks15", "train_landmarks"),
        ("centerloss", "train_faces"),
        ("triplet", "train_faces"),
        ("siamese", "train_faces"),
        ("cascade_pnet", "train_cascade"),
        ("cascade_rnet", "train_cascade"),
        ("cascade_onet_scratch", "train_cascade"),
    ],
)
def test_the_configs_type_picks_the_training(calls: Calls, name: str, training: str, tmp_path: Path) -> None:
    result = command(name, "--data", "d", "--out", str(tmp_path), "--epochs", "3", "--seed", "7", "--resume")
    assert (result.exit_code, result.output) == (0, "")
    ((begun, (run, settings, _, folder, resume)),) = calls
    assert begun == training
    assert run.CONFIG.name == name
    assert settings == run.CONFIG.model_copy(update={"epochs": 3, "seed": 7})
    assert (folder, resume) == (tmp_path / name, True)


def test_every_run_has_a_training(calls: Calls) -> None:
    names = [path.stem for path in Path("training/configs").glob("*.py") if path.stem != "__init__"]
    for name in names:
        assert command(name, "--data", "d").exit_code == 0
    assert [given[0].CONFIG.name for _, given in calls] == names


def test_a_stage_gets_its_candidates_and_faces(calls: Calls) -> None:
    assert command("cascade_onet", "--data", "d", "--candidates", "c.npz", "--faces", "f").exit_code == 0
    data, candidates, settings, faces = calls[0][1][2]
    assert (data, candidates, faces) == (Path("d"), Path("c.npz"), Path("f"))
    assert settings.stage == "onet"


def test_a_stage_without_candidates_is_one_line(tmp_path: Path) -> None:
    result = command("cascade_rnet", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert result.output == "cascade_rnet needs --candidates, which training.propose makes\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cnn68", "--candidates", "c.npz"), "The run cnn68 does not take --candidates.\n"),
        (("triplet", "--imagenet-weights", "w.h5"), "The run triplet does not take --imagenet-weights.\n"),
        (("cnn68", "--imagenet-weights", "w.h5"), "cnn68 has no backbone\n"),
    ],
)
def test_options_of_another_kind_are_refused(calls: Calls, arguments: tuple[str, ...], told: str) -> None:
    result = command(*arguments, "--data", "d")
    assert (result.exit_code, result.output) == (1, told)
    assert calls == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cnn86", "cnn68"),
        ("cascade_p_net", "cascade_pnet"),
        ("tripet", "triplet"),
        ("landmark68", "landmarks68"),
    ],
)
def test_a_mistyped_name_is_one_line_with_the_nearest(calls: Calls, name: str, nearest: str) -> None:
    result = command(name, "--data", "d")
    assert result.exit_code == 2
    assert result.output.startswith(f"There is no run named '{name}'; the nearest are {nearest}")
    assert result.output.count("\n") == 1
    assert calls == []


def test_a_name_near_none_lists_all() -> None:
    with pytest.raises(UnknownRun, match=r"there are cascade_onet, .*, triplet_scratch"):
        load("zzz")
