"""Export of nets to ONNX, and the products of the model folder; imports `engine` and what is below it."""
