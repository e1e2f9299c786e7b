"""`python -m training.train`: the job that a run starts, and its errors."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from training import train
from training.config.schema import StageConfig
from training.engine import cascade_job, embedding_job, landmark_job

Calls = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The jobs that were started: the name of the module, and the arguments of its `train`."""
    made: Calls = []
    for module in (landmark_job, embedding_job, cascade_job):
        name = module.__name__.removeprefix("training.engine.")
        monkeypatch.setattr(module, "train", lambda *arguments, name=name: made.append((name, arguments)))
    monkeypatch.setattr(cascade_job, "read", lambda *arguments: arguments)
    return made


def command(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(train.main)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("cnn68", "landmark_job"),
        ("landmarks15", "landmark_job"),
        ("centerloss", "embedding_job"),
        ("triplet", "embedding_job"),
        ("siamese", "embedding_job"),
        ("cascade_pnet", "cascade_job"),
        ("cascade_rnet", "cascade_job"),
        ("cascade_onet_scratch", "cascade_job"),
    ],
)
def test_the_type_of_the_config_selects_the_job(calls: Calls, name: str, job: str, tmp_path: Path) -> None:
    result = command(name, "--data", "d", "--out", str(tmp_path), "--epochs", "3", "--seed", "7", "--resume")
    assert (result.exit_code, result.output) == (0, "")
    ((started, (run, config, _, folder, resume)),) = calls
    assert started == job
    assert run.CONFIG.name == name
    assert config == run.CONFIG.model_copy(update={"epochs": 3, "seed": 7})
    assert (folder, resume) == (tmp_path / name, True)


def test_every_run_has_a_job(calls: Calls) -> None:
    names = [path.stem for path in Path("training/configs").glob("*.py") if path.stem != "__init__"]
    for name in names:
        assert command(name, "--data", "d").exit_code == 0
    assert [arguments[0].CONFIG.name for _, arguments in calls] == names


def test_a_stage_gets_its_candidates_and_faces(calls: Calls) -> None:
    assert command("cascade_onet", "--data", "d", "--candidates", "c.npz", "--faces", "f").exit_code == 0
    data, config, candidates, faces = calls[0][1][2]
    assert (data, candidates, faces) == (Path("d"), Path("c.npz"), Path("f"))
    assert isinstance(config, StageConfig)
    assert config.stage == "onet"


def test_a_backbone_with_random_weights_is_mentioned(calls: Calls) -> None:
    result = command("mobilenet15", "--data", "d")
    assert result.output == (
        "The backbone starts with random weights. --imagenet-weights takes a file for it.\n"
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cnn68", "prepare.json"),
        ("triplet", "prepare.json"),
        ("cascade_pnet", "wider/wider_face_split/wider_face_train_bbx_gt.txt"),
    ],
)
def test_missing_data_is_one_line(name: str, file: str, tmp_path: Path) -> None:
    result = command(name, "--data", str(tmp_path), "--out", str(tmp_path / "runs"))
    assert (result.exit_code, result.output) == (1, f"{tmp_path / file} does not exist.\n")


def test_a_fault_of_a_label_file_is_one_line(tmp_path: Path) -> None:
    labels = tmp_path / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("a.jpg\n1\n1 2 3\n")
    result = command("cascade_pnet", "--data", str(tmp_path), "--out", str(tmp_path / "runs"))
    assert result.exit_code == 1
    assert result.output == f"{labels}, line 3: Ten numbers of a face are expected, not 3.\n"


def test_a_stage_without_candidates_is_one_line(tmp_path: Path) -> None:
    result = command("cascade_rnet", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert result.output == (
        "cascade_rnet needs candidates. Run training.mine_candidates and give its file by --candidates.\n"
    )


def test_a_folder_with_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cnn68").mkdir()
    (tmp_path / "cnn68" / "checkpoint.npz").touch()
    (tmp_path / "prepare.json").write_text("{}")
    result = command("cnn68", "--data", str(tmp_path), "--out", str(tmp_path))
    assert result.exit_code == 1
    assert result.output.startswith(f"{tmp_path / 'cnn68'} already holds a run. Give --resume")
    assert result.output.count("\n") == 1


def test_resuming_without_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "prepare.json").write_text("{}")
    result = command("cnn68", "--data", str(tmp_path), "--out", str(tmp_path), "--resume")
    assert (result.exit_code, result.output) == (
        1,
        f"{tmp_path / 'cnn68'} holds no run to continue. Leave out --resume.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cnn68", "--candidates", "c.npz"), "The run cnn68 does not accept --candidates.\n"),
        (
            ("triplet", "--faces", "f", "--imagenet-weights", "w.h5"),
            "The run triplet does not accept --faces and --imagenet-weights.\n",
        ),
        (
            ("cnn68", "--imagenet-weights", "w.h5"),
            "The net of cnn68 has no backbone; leave out --imagenet-weights.\n",
        ),
        (("mobilenet15", "--imagenet-weights", "w.h5"), "w.h5 does not exist.\n"),
    ],
)
def test_unsuitable_options_are_refused(calls: Calls, arguments: tuple[str, ...], message: str) -> None:
    result = command(*arguments, "--data", "d")
    assert (result.exit_code, result.output) == (1, message)
    assert calls == []


@pytest.mark.parametrize(("option", "value"), [("--epochs", "0"), ("--seed", "-1")])
def test_numbers_out_of_range_are_refused(calls: Calls, option: str, value: str) -> None:
    result = command("cnn68", "--data", "d", option, value)
    assert result.exit_code == 2
    assert "greater than or equal to" in result.output
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
def test_a_mistyped_name_is_one_line_with_similar_names(calls: Calls, name: str, nearest: str) -> None:
    result = command(name, "--data", "d")
    assert result.exit_code == 2
    assert result.output.startswith(f"There is no run named '{name}'. Similar names are: {nearest}")
    assert result.output.count("\n") == 1
    assert calls == []
