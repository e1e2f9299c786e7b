"""Where every net comes from: Keras builders, importers, training runs, evaluation, export to ONNX."""
