"""Sessions and the model store: what turns an ONNX file into a callable net on a device."""
