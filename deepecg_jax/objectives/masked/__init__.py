"""Masked autoencoding: the signal of hidden times, leads or patches is reconstructed."""
