"""A trained model for devices: int8 ONNX, OpenVINO, LiteRT, Core ML, each measured again by its own runtime."""
