"""The variants of the comparison differ in the loss or the negatives alone; its table has mean and spread."""

import pytest

from training.engine.checkpoints import Progress
from training.studies.objectives import DESCRIPTIONS, VARIANTS, config_of, table


def test_variants_of_a_loss_differ_in_one_field() -> None:
    assert list(DESCRIPTIONS) == list(VARIANTS)
    for kind, field in (("center", "center_weight"), ("triplet", "mining")):
        configs = [config_of(name, 1).model_dump() for name in VARIANTS if name.startswith(kind)]
        assert len(configs) > 1
        for other in configs[1:]:
            differing = {key for key in other if other[key] != configs[0][key]}
            assert differing == {"name", field}


def test_all_start_from_random_weights() -> None:
    assert {config_of(name, 2).start_from for name in VARIANTS} == {""}
    assert {config_of(name, 2).seed for name in VARIANTS} == {2}


def runs(errors: list[float], **first_and_last: list[float]) -> list[Progress]:
    rows = [{name: value[i] for name, value in first_and_last.items()} for i in (0, 1)]
    return [Progress(best=error, rows=rows) for error in errors]


def test_the_table_has_mean_and_standard_deviation() -> None:
    text = table(
        {
            "softmax": runs([0.17, 0.18, 0.19]),
            "triplet-hardest": runs([0.3, 0.3, 0.3], active=[400.0, 250.4]),
        }
    )
    lines = text.splitlines()
    assert lines[2] == "| softmax | 0.180 +- 0.010 | 0.170, 0.180, 0.190 |  |"
    assert lines[3].endswith("| 0.300 +- 0.000 | 0.300, 0.300, 0.300 | 400 to 250 |")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_has_a_folder_of_its_own(variant: str) -> None:
    assert config_of(variant, 0).name != config_of(variant, 1).name
