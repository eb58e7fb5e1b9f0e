"""ONNX graphs read back: as torch modules and as TensorFlow Lite files, for runtimes that take these."""
