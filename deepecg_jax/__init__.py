"""deepecg_jax: pretrain, fine-tune, evaluate and publish 12-lead ECG foundation models in JAX."""

__version__ = "0.1.0"
