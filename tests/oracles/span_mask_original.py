"""The span masks of fairseq-signals, draw for draw, for comparison with its runs.

Training uses `deepecg_jax.objectives.masking.spans.span_mask`, whose shape is static and whose
share of masked tokens does not depend on the batch. This one runs on the host with numpy's legacy
generator, because that is what the original draws from; its number of masked tokens varies.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

SpanLength = Literal["static", "uniform", "normal", "poisson"]


def original_span_mask(
    shape: tuple[int, int],
    rng: np.random.RandomState,
    *,
    probability: float = 0.65,
    length: int = 10,
    kind: SpanLength = "static",
    other: float = 0.0,
    least_spans: int = 2,
    overlap: bool = True,
    least_space: int = 1,
    valid_tokens: Sequence[int] | None = None,
) -> np.ndarray:
    """Masked tokens, bool (B, N); every row has as many as the least masked row of the batch.

    The published algorithm: ``mask_prob`` x N / length spans a row (rounded up or down by one draw
    for the batch, or by a draw a row where rows are padded) start anywhere, their union is masked,
    and every row is cut at random to the smallest row's count.

    Args:
        shape: (B, N) rows and tokens.
        rng: advanced exactly as the original advances numpy's global generator.
        probability, length: expected share of span tokens before overlaps; tokens in a span.
        kind, other: distribution of span lengths: ``length`` always, uniform in [other, 2 length],
            normal with deviation ``other``, or Poisson.
        least_spans: spans a row at least.
        overlap: False places spans apart, ``least_space`` tokens between them.
        valid_tokens: tokens of each row before its padding, or None.
    """
    rows, n_tokens = shape
    n_spans = max(least_spans, int(probability * n_tokens / length + rng.rand()))
    masked = []
    for row in range(rows):
        size, count = n_tokens, n_spans
        if valid_tokens is not None:
            size = int(valid_tokens[row])
            count = max(least_spans, int(probability * size / length + rng.rand()))
        lengths = _span_lengths(rng, kind, length, other, count)
        if lengths.sum() == 0:
            lengths[0] = min(length, size - 1)
        if overlap:
            chosen = _overlapping(rng, size, lengths)
        else:
            chosen = _apart(rng, size, lengths, least_space)
        masked.append(np.unique(chosen[chosen < size]))
    least = min(len(chosen) for chosen in masked)
    mask = np.zeros(shape, bool)
    for row, chosen in enumerate(masked):
        if len(chosen) > least:
            chosen = rng.choice(chosen, least, replace=False)
        mask[row, chosen] = True
    return mask


def _span_lengths(
    rng: np.random.RandomState, kind: SpanLength, length: int, other: float, count: int
) -> np.ndarray:
    if kind == "static":
        return np.full(count, length)
    if kind == "uniform":
        return rng.randint(int(other), 2 * length + 1, size=count)
    if kind == "normal":
        return np.array([max(1, round(x)) for x in rng.normal(length, other, size=count)])
    return np.array([round(x) for x in rng.poisson(length, size=count)])


def _overlapping(rng: np.random.RandomState, size: int, lengths: np.ndarray) -> np.ndarray:
    shortest, count = int(lengths.min()), len(lengths)
    if size - shortest <= count:
        shortest = size - count - 1
    starts = rng.choice(size - shortest, count, replace=False)
    return np.concatenate(
        [np.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)]
    )


def _apart(
    rng: np.random.RandomState, size: int, lengths: np.ndarray, least_space: int
) -> np.ndarray:
    """Longest span first, in a free part drawn in proportion to its length."""
    free, chosen = [(0, size)], []
    shortest = int(lengths.min())
    for length in sorted((int(n) for n in lengths), reverse=True):
        room = np.array(
            [end - start if end - start >= length + least_space else 0 for start, end in free]
        )
        if room.sum() == 0:
            break
        start, end = free.pop(int(rng.choice(len(room), p=room / room.sum())))
        first = int(rng.randint(start, end - length))
        chosen.append(np.arange(first, first + length))
        if first - start - least_space >= shortest:
            free.append((start, first - least_space + 1))
        if end - first - shortest - least_space > shortest:
            free.append((first + length + least_space, end))
    return np.concatenate(chosen)
