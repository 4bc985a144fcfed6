"""Blocks that several families of encoders, heads and objectives are made of."""
