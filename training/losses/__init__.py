"""Losses in `keras.ops`, for any backend; imports `training.config` only."""
