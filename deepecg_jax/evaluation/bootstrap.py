"""The published import path of `bootstrap_auroc`; the code is in `evaluation.resampling`."""

from deepecg_jax.evaluation.resampling.bootstrap import bootstrap_auroc

__all__ = ["bootstrap_auroc"]
