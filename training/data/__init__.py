"""Data from dataset files to batches; imports `training.config`, `training.models` and `training.metrics`."""
