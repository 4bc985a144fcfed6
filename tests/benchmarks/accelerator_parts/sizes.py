"""What is measured at each size: the same code, other numbers."""

from typing import NamedTuple


class Size(NamedTuple):
    """Numbers of a run.

    Attributes:
        config: shipped pretraining config of the step.
        batches: global batches of the step, ascending, until one is out of memory.
        batch: of every comparison.
        float32_batch: of float32 steps and gradients.
        remat: (remat, layers unrolled) that are compared.
        small: shipped config of the comparison with the CPU, and its batch.
        rows, heads, tokens, head_width: of attention alone; tokens one after another.
        taps, groups: of the positional convolution alone.
        product: side of the square matrix product.
        transfer: ECGs of the batch that goes from host to device.
        inference: ECGs that a classifier is given at once.
        bootstrap: records, findings, resamples.
        calls: timed calls of a step, fewer where they are slow.
        torch: cases of the twin in PyTorch; empty: all.
    """

    config: str
    batches: tuple[int, ...]
    batch: int
    float32_batch: int
    remat: tuple[tuple[str, int], ...]
    small: tuple[str, int]
    rows: int
    heads: int
    tokens: tuple[int, ...]
    head_width: int
    taps: int
    groups: int
    product: int
    transfer: int
    inference: int
    bootstrap: tuple[int, int, int]
    calls: int
    torch: tuple[str, ...] = ()


SIZES = {
    "base": Size(
        config="pretrain/wcr_base.yaml",
        batches=(64, 256, 1024),
        batch=256,
        float32_batch=64,
        remat=(("none", 1), ("dots", 1), ("full", 1), ("dots", 12)),
        small=("pretrain/wcr_small.yaml", 24),
        rows=512,
        heads=12,
        tokens=(78, 80),
        head_width=64,
        taps=128,
        groups=16,
        product=8192,
        transfer=1024,
        inference=256,
        bootstrap=(2000, 5, 255),
        calls=20,
    ),
    "tiny": Size(
        config="pretrain/wcr_tiny.yaml",
        batches=(4,),
        batch=4,
        float32_batch=4,
        remat=(("full", 3),),
        small=("pretrain/wcr_tiny.yaml", 4),
        rows=4,
        heads=2,
        tokens=(12, 16),
        head_width=16,
        taps=8,
        groups=2,
        product=256,
        transfer=16,
        inference=4,
        bootstrap=(300, 2, 15),
        calls=4,
        torch=("bfloat16, compiled by parts",),
    ),
}
