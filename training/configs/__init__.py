"""The named runs, one configuration per module; imports `training.config` and `training.models` only."""
