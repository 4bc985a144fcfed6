"""The optional parts of an installation: what each is for, and which packages it brings."""

from typing import NamedTuple


class Extra(NamedTuple):
    """``pip install 'deepecg_jax[NAME]'``: its distributions, and what works only with them."""

    name: str
    packages: tuple[str, ...]
    use: str


EXTRAS: tuple[Extra, ...] = (
    Extra(
        "formats",
        ("ecgdatakit", "defusedxml", "pydicom", "matplotlib"),
        "files of ECG devices, and deepecg inspect FILE as a PNG",
    ),
    Extra("hdf5", ("h5py",), "deepecg build code15, and HDF5 files of a table"),
    Extra("beam", ("apache-beam",), "deepecg build --beam on Dataflow, Flink or Spark"),
    Extra("bert", ("tokenizers",), "deepecg label --method bert and train-labeller"),
    Extra("survival", ("lifelines",), "deepecg survival and evaluate --survival"),
    Extra("privacy", ("scikit-learn",), "deepecg privacy"),
    Extra("torch", ("torch",), "checking a PyTorch export, and reading PyTorch checkpoints"),
    Extra(
        "onnx",
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        "deepecg export --format onnx",
    ),
    Extra("stablehlo", ("flatbuffers",), "deepecg export --format stablehlo"),
    Extra("slurm", ("submitit",), "deepecg sweep --launch slurm"),
    Extra("tpu", ("libtpu",), "JAX on Cloud TPUs, and deepecg plan without any"),
    Extra("cuda", ("jax-cuda13-plugin",), "JAX on NVIDIA GPUs"),
)
"""Those for users, in the order in which a study meets them; ``test`` and ``dev`` are for
developers."""
