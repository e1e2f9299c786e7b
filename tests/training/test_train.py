"""`python -m training.train`: the job that a run starts, and its errors."""

import json
from pathlib import Path
from typing import Any

import keras
import pytest
import typer
from typer.testing import CliRunner, Result

from training import train
from training.config.registry import find
from training.config.schema import StageConfig
from training.engine import cascade_data, cascade_job, embedding_job, landmark_job

Calls = list[tuple[str, tuple[Any, ...]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The jobs that were started: the name of the module, and the arguments of its `train`."""
    made: Calls = []
    for module in (landmark_job, embedding_job, cascade_job):
        name = module.__name__.removeprefix("training.engine.")
        monkeypatch.setattr(module, "train", lambda *arguments, name=name: made.append((name, arguments)))
    monkeypatch.setattr(cascade_data, "read", lambda *arguments: arguments)
    monkeypatch.setattr(train, "cpu_instructions", lambda: frozenset({"avx2", "avx512_bf16"}))
    return made


def command(*arguments: str) -> Result:
    """Run the command. Without --out it does not see the runs of this checkout."""
    app = typer.Typer()
    app.command()(train.main)
    out = () if "--out" in arguments else ("--out", "no-such-folder")
    return CliRunner().invoke(app, [*arguments, *out])


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
    result = command(name, "--data", "d", "--out", str(tmp_path), "--epochs", "3", "--seed", "7")
    assert (result.exit_code, result.output) == (0, "")
    ((started, (run, config, _, folder, resume)),) = calls
    assert started == job
    assert run.CONFIG.name == name
    assert config == run.CONFIG.model_copy(update={"epochs": 3, "seed": 7})
    assert (folder, resume) == (tmp_path / name, False)


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
    ("name", "message"),
    [
        ("cnn68", "holds no prepared data: there is no {0}/prepare.json. Write it with `python -m training"),
        ("triplet", ".prepare identities`.\n"),
        ("cascade_pnet", "{0}/wider/wider_face_split/wider_face_train_bbx_gt.txt does not exist.\n"),
    ],
)
def test_missing_data_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    result = command(name, "--data", str(tmp_path), "--out", str(tmp_path / "runs"))
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert message.format(tmp_path) in result.output
    assert not (tmp_path / "runs").exists()


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
    (tmp_path / "cnn68" / "run.json").touch()
    result = command("cnn68", "--data", str(tmp_path), "--out", str(tmp_path))
    assert result.exit_code == 1
    assert result.output.startswith(f"{tmp_path / 'cnn68'} already holds a run. Give --resume")
    assert result.output.count("\n") == 1


def test_resuming_without_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "prepare.json").write_text("{}")
    result = command("cnn68", "--data", str(tmp_path), "--out", str(tmp_path), "--resume")
    assert (result.exit_code, result.output) == (
        1,
        f"{tmp_path / 'cnn68'} holds no run to continue: it has no run.json. Leave out --resume.\n",
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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "epochs=0 is not valid. The value should be greater than 0.\n"),
        ("--seed", "-1", "seed=-1 is not valid. The value should be greater than or equal to 0.\n"),
    ],
)
def test_numbers_out_of_range_are_refused(calls: Calls, option: str, value: str, message: str) -> None:
    result = command("cnn68", "--data", "d", option, value)
    assert (result.exit_code, result.output) == (2, message)
    assert calls == []


def test_a_run_gets_a_name_and_changes_of_its_config(calls: Calls, tmp_path: Path) -> None:
    options = ("--set", "epochs=20", "--set", "augment.rotate=10", "--epochs", "5", "--name", "mine-1")
    result = command("cnn68", "--data", "d", "--out", str(tmp_path), *options)
    assert (result.exit_code, result.output) == (0, "")
    ((_, (run, config, _, folder, _)),) = calls
    assert (run.CONFIG.name, config.name, folder) == ("cnn68", "mine-1", tmp_path / "mine-1")
    assert (config.epochs, config.augment.rotate) == (5, 10)
    augment = run.CONFIG.augment.model_copy(update={"rotate": 10})
    changes = {"name": "mine-1", "epochs": 5, "augment": augment}
    assert config == run.CONFIG.model_copy(update=changes)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b"])
def test_a_name_that_is_no_name_of_a_folder_is_refused(calls: Calls, name: str) -> None:
    result = command("cnn68", "--data", "d", "--name", name)
    if name:
        assert result.output == f"The name {name!r} is not valid. Use letters, digits, _ and -.\n"
        assert (result.exit_code, calls) == (2, [])
    else:
        assert calls[0][1][3] == Path("no-such-folder/cnn68")


@pytest.mark.parametrize(
    ("instructions", "warned"), [({"avx2"}, True), ({"avx2", "avx512_bf16"}, False), (set(), False)]
)
def test_mixed_bfloat16_on_a_cpu_without_its_instructions_is_announced(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, instructions: set[str], warned: bool
) -> None:
    monkeypatch.setattr(train, "cpu_instructions", lambda: frozenset(instructions))
    result = command("cnn68", "--data", "d", "--precision", "mixed_bfloat16")
    assert (result.exit_code, len(calls)) == (0, 1)
    warning = "This CPU has no bfloat16 instructions, so mixed_bfloat16 is much slower than float32.\n"
    assert result.output == (warning if warned else "")
    assert command("cnn68", "--data", "d").output == ""


def started(folder: Path, name: str, changes: dict[str, object], **facts: object) -> None:
    """Write the files of a run that can be continued."""
    folder.mkdir()
    (folder / "checkpoint.npz").touch()
    config = find(name).CONFIG.model_copy(update={"name": folder.name, **changes})
    (folder / "run.json").write_text(json.dumps({"config": config.model_dump(), "module": name, **facts}))


def test_a_resumed_run_keeps_its_config(calls: Calls, tmp_path: Path) -> None:
    started(tmp_path / "mine", "cnn68", {"batch": 7, "epochs": 3}, precision="mixed_bfloat16")
    options = ("--data", "d", "--out", str(tmp_path), "--name", "mine", "--resume")
    result = command("cnn68", *options, "--epochs", "9", "--set", "batch=7")
    assert (result.exit_code, result.output) == (0, "")
    ((_, (_, config, _, folder, resume)),) = calls
    assert (config.name, config.batch, config.epochs) == ("mine", 7, 9)
    assert (folder, resume) == (tmp_path / "mine", True)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    command("cnn68", "--data", "d", "--out", str(tmp_path))
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "cnn68",
            ("--set", "batch=8"),
            "The run was started with batch=7, and a resumed run keeps it. Leave batch",
        ),
        ("cnn68", ("--seed", "1"), "The run was started with seed=0"),
        ("cnn68", ("--precision", "mixed_bfloat16"), "started with --precision float32, and a resumed run"),
        ("landmarks68", (), "mine holds a run of cnn68, not of landmarks68."),
    ],
)
def test_a_change_that_contradicts_the_resumed_run_is_refused(
    calls: Calls, name: str, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    started(tmp_path / "mine", "cnn68", {"batch": 7})
    result = command(name, "--data", "d", "--out", str(tmp_path), "--name", "mine", "--resume", *options)
    assert (result.exit_code, result.output.count("\n"), calls) == (1, 1, [])
    assert message in result.output


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
