"""The runs of the small net: a run of an earlier call is used only if its configuration is the same."""

import json
from pathlib import Path

import pytest

from training.config.registry import RUN_FILE, RunError
from training.studies import detector_boxes, pairwise_loss, small_net

CONFIG = small_net.config("study", "mean_squared", 4, 0)


def write_run(runs: Path, name: str) -> None:
    (runs / name).mkdir(parents=True)
    config = CONFIG.model_copy(update={"name": name})
    (runs / name / RUN_FILE).write_text(json.dumps({"config": config.model_dump()}))


def test_the_same_configuration_is_recognised(tmp_path: Path) -> None:
    assert not small_net.check_recorded(CONFIG, tmp_path)
    write_run(tmp_path, "study")
    assert small_net.check_recorded(CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("epochs", "seed", "message"), [(2, 0, "epochs=4, validate_every=4"), (4, 7, "seed=0")]
)
def test_a_run_with_another_configuration_is_refused(
    tmp_path: Path, epochs: int, seed: int, message: str
) -> None:
    write_run(tmp_path, "study")
    wanted = small_net.config("study", "mean_squared", epochs, seed)
    expected = f"study holds a run with {message}. Delete the folder, or give another --runs."
    with pytest.raises(RunError, match=expected):
        small_net.trained(wanted, tmp_path / "data", tmp_path)


def test_studies_refuse_other_settings_before_they_start(tmp_path: Path) -> None:
    """The run is the second of each study; the data is empty, so nothing else is read before."""
    write_run(tmp_path, "pairwise-loss-pairwise_squared")
    write_run(tmp_path, "detector-boxes-offsets")
    for study in (pairwise_loss, detector_boxes):
        with pytest.raises(RunError, match=r"holds a run with .*seed=0"):
            study.main(data=tmp_path, runs=tmp_path, epochs=4, seed=1)
