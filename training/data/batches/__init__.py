"""Batches of training samples, with augmentation; imports `training.config`, `datasets` and `storage`."""
