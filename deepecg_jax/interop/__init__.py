"""Bundles and the way to PyTorch."""
