"""Configurations: defaults of fields that old records lack, and values that are refused."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from training.config.schema import LandmarkConfig


def test_fields_that_a_record_lacks_have_their_defaults() -> None:
    record = json.loads(Path("training/records/cnn68/run.json").read_text())["config"]
    config = LandmarkConfig.model_validate(record)
    assert (config.choose_by, config.patience, config.backbone) == ("validation_error", 0, "")


def test_an_unknown_field_is_refused() -> None:
    record = json.loads(Path("training/records/cnn68/run.json").read_text())["config"]
    with pytest.raises(ValidationError, match="begin_at_mean"):
        LandmarkConfig.model_validate(record | {"begin_at_mean": True})
