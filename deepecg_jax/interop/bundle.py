"""The published import path of `load`; the code is in `deepecg_jax.bundle`."""

from deepecg_jax.bundle.bundle import load

__all__ = ["load"]
