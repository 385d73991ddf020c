"""A finished run in MLflow or TensorBoard, where workspace.toml asks for it; sent by a process of its own."""
