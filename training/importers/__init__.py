"""Checked converters of published weights to Keras nets; imports `training.models` and `training.data`."""
