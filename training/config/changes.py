"""Changes of a run's configuration on the command line: `key=value`, with dots for nested fields."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from training.config.registry import RunError
from training.config.schema import RunConfig

Config = TypeVar("Config", bound=RunConfig)

RESUMABLE = frozenset({"epochs"})
"""The fields that a resumed run may change."""

_OF_THE_MODULE = "It belongs to the net. Write a module in training/configs to change it."
_REFUSED = {
    "name": "Give --name.",
    "backbone": "Give --imagenet-weights.",
    **dict.fromkeys(("size", "dimension", "stage", "scheme", "template"), _OF_THE_MODULE),
}
"""Fields that `--set` does not change, and what to do instead."""


class BadChange(RunError):
    """A field or a value of `--set` is not valid."""

    exit_status = 2


def changed(config: Config, changes: Sequence[str]) -> Config:
    """Return the configuration with changes, validated by its schema.

    Args:
        config: the configuration of a run.
        changes: `key=value`; a later one replaces an earlier one. The value `none` is None.

    Raises:
        BadChange: a key does not exist or cannot be changed, or a value is not valid.
    """
    values = config.model_dump()
    for key, text in map(_split, changes):
        _check_key(config, key)
        *groups, last = key.split(".")
        group = values
        for name in groups:
            group = group[name]
        group[last] = None if text.lower() == "none" else text
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise BadChange(_one_line(error)) from error


def resumed(recorded: Config, changes: Sequence[str]) -> Config:
    """Return the configuration of a run that is continued: the recorded one, with other epochs if asked for.

    Args:
        recorded: the configuration in the run's `run.json`.
        changes: as for `changed`.

    Raises:
        BadChange: a key or a value is not valid.
        RunError: a change contradicts the recorded configuration.
    """
    wanted = changed(recorded, changes)
    for key in dict.fromkeys(key for key, _ in map(_split, changes)):
        before, after = _value(recorded, key), _value(wanted, key)
        if before != after and key not in RESUMABLE:
            raise RunError(
                f"The run was started with {key}={before}, and a resumed run keeps it. Leave {key} out, or "
                "train another run with --name."
            )
    return wanted


def check_name(name: str) -> str:
    """Return the name of a run.

    Raises:
        BadChange: it has other characters than letters, digits, `_` and `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise BadChange(f"The name {name!r} is not valid. Use letters, digits, _ and -.")
    return name


def _split(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not equals:
        raise BadChange(f"--set {change} has no value. Give key=value, such as epochs=20.")
    return key.strip(), value.strip()


def _check_key(config: RunConfig, key: str) -> None:
    if key in _REFUSED and key in type(config).model_fields:
        raise BadChange(f"{key} cannot be set. {_REFUSED[key]}")
    fields = _fields(config)
    if key in fields:
        return
    if inner := [name for name in fields if name.startswith(f"{key}.")]:
        raise BadChange(f"{key} has fields of its own. Set one of them: {', '.join(inner)}.")
    last = key.rpartition(".")[2]
    near = [name for name in fields if name.rpartition(".")[2] == last]
    near += difflib.get_close_matches(key, [name for name in fields if name not in near])
    hint = f"Similar fields are: {', '.join(near)}" if near else f"The fields are: {', '.join(fields)}"
    raise BadChange(f"The config of {config.name} has no field {key!r}. {hint}.")


def _fields(model: BaseModel, prefix: str = "") -> list[str]:
    """Return the names of the fields that can be set, with dots."""
    names = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            names += _fields(value, f"{prefix}{name}.")
        elif prefix or name not in _REFUSED:
            names.append(f"{prefix}{name}")
    return names


def _value(config: BaseModel, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    cause = first["msg"].removeprefix("Value error, ").replace("Input should", "The value should")
    given = first["input"]
    return f"{key}={given} is not valid. {cause}." if not isinstance(given, dict) else f"{key}: {cause}."
