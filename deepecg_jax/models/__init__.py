"""Encoders and heads: Flax NNX modules without any training code."""
