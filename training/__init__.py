"""Training, import, evaluation and export of the nets; imports nothing of `app` above `app.pipeline`."""

import app  # noqa: F401 # switches ONNX Runtime's telemetry off before tf2onnx imports it
from training import tensorflow_log

tensorflow_log.silence()
