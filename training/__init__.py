"""Where every net comes from: Keras builders, importers, training runs, evaluation, export to ONNX."""

import app  # noqa: F401 # switches ONNX Runtime's telemetry off before tf2onnx imports it
