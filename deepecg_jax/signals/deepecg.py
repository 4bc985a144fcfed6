"""The published import path of `standardize`; the code is in `deepecg_jax.signals.standard`."""

from deepecg_jax.signals.standard.deepecg import standardize

__all__ = ["standardize"]
