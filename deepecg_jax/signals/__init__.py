"""Recordings, leads, standardisation, quality and the synthetic generator: numpy and scipy only."""
