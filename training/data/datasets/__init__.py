"""Readers of the formats of the datasets; imports `training.data.storage` and `app.vision`."""
