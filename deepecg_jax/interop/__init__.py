"""Weights of others: checkpoints in, PyTorch, ONNX and StableHLO out."""
