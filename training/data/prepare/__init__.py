"""Training data from datasets by the detector `mtcnn`; imports `datasets`, `storage` and `app.pipeline`."""
