"""From trained weights to files that a device runs: ONNX, TFLite, OpenVINO."""
