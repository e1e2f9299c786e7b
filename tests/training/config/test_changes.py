"""Changes of a configuration on the command line, and the messages about those that are refused."""

import pytest

from training.config.changes import BadChange, changed, resumed
from training.config.registry import RunError, find
from training.config.schema import RunConfig, StageConfig

CNN68, TRIPLET = find("cnn68").CONFIG, find("triplet").CONFIG


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("learning_rate=1e-3", 1e-3),
        ("mining=hardest", "hardest"),
        ("diff_prob=0.25", 0.25),
        ("diff_prob=none", None),
        ("start_from=", ""),
        ("start_from=my_run", "my_run"),
        (" batch = 8 ", 8),
    ],
)
def test_a_field_gets_the_value_as_its_own_type(change: str, value: object) -> None:
    key = change.partition("=")[0].strip()
    config = changed(TRIPLET, [change])
    assert config == TRIPLET.model_copy(update={key: value})
    assert type(getattr(config, key)) is type(value)


def test_nested_fields_and_the_last_of_several_values_count() -> None:
    config = changed(CNN68, ["augment.rotate=3", "augment.jpeg=50", "augment.rotate=4"])
    augment = CNN68.augment.model_copy(update={"rotate": 4, "jpeg": 50})
    assert config == CNN68.model_copy(update={"augment": augment})


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (CNN68, "epoch=3", r"The config of cnn68 has no field 'epoch'\. Similar fields are: epochs"),
        (CNN68, "rotate=3", r"no field 'rotate'\. Similar fields are: augment\.rotate"),
        (CNN68, "augment.rotat=3", r"no field 'augment.rotat'\. Similar fields are: augment\.rotate"),
        (CNN68, "zzz=3", r"no field 'zzz'\. The fields are: epochs, batch, .*augment\.flip_share"),
        (CNN68, "augment=3", r"augment has fields of its own\. Set one of them: augment\.flip_share, "),
        (CNN68, "epochs", r"--set epochs has no value\. Give key=value, such as epochs=20\."),
        (CNN68, "epochs=many", r"epochs=many is not valid\. The value should be a valid integer"),
        (CNN68, "epochs=0", r"epochs=0 is not valid\. The value should be greater than 0\."),
        (
            CNN68,
            "learning_rate=inf",
            r"learning_rate=inf is not valid\. The value should be a finite number\.",
        ),
        (
            CNN68,
            "augment.flip_share=2",
            r"augment\.flip_share=2 is not valid\. The value should be less than or",
        ),
        (CNN68, "loss=l2", r"loss=l2 is not valid\. The value should be 'mean_squared', 'pairwise_squared',"),
        (CNN68, "name=a", r"name cannot be set\. Give --name\."),
        (CNN68, "backbone=a", r"backbone cannot be set\. Give --imagenet-weights\."),
        (CNN68, "size=64", r"size cannot be set\. It belongs to the net\."),
        (TRIPLET, "scheme=ibug68", r"The config of triplet has no field 'scheme'\."),
    ],
)
def test_a_wrong_key_or_value_is_one_line(config: RunConfig, change: str, message: str) -> None:
    with pytest.raises(BadChange, match=message) as refused:
        changed(config, [change])
    assert "\n" not in str(refused.value)
    assert refused.value.exit_status == 2


def test_shares_of_more_than_the_whole_are_refused() -> None:
    config = find("cascade_rnet").CONFIG
    assert isinstance(config, StageConfig)
    with pytest.raises(BadChange, match=r"sample_shares: .*add up to more than 1"):
        changed(config, ["sample_shares.faces=0.9", "sample_shares.near_faces=0.2"])


def test_training_does_not_stop_before_its_first_validation() -> None:
    message = r"patience=2 is not valid\. With validate_every=3, .* Set patience to 0, or to 3 or more\.$"
    with pytest.raises(BadChange, match=message):
        changed(CNN68, ["validate_every=3", "patience=2"])
    for patience in (0, 3):
        assert changed(CNN68, ["validate_every=3", f"patience={patience}"]).patience == patience


def test_a_resumed_run_may_change_its_epochs_alone() -> None:
    assert resumed(CNN68, ["epochs=999"]) == CNN68.model_copy(update={"epochs": 999})
    assert resumed(CNN68, [f"batch={CNN68.batch}"]) == CNN68
    with pytest.raises(RunError, match=r"started with augment\.rotate=.* Leave augment\.rotate out"):
        resumed(CNN68, ["epochs=999", "augment.rotate=99"])
