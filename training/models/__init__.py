"""Keras functional nets for any backend, one family per file; imports `training.config` and `app.vision`."""
