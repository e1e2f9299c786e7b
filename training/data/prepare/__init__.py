"""Training data from datasets by the served detector; imports `datasets`, `storage` and `app.pipeline`."""
