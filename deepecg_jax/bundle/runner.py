"""Runs a module over any number of ECGs with one compilation a shape."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from deepecg_jax.data.loading.protocol import EvaluationProtocol
from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.heads import Classifier
from deepecg_jax.models.readouts import check_readout, read_out
from deepecg_jax.signals.contract import SignalContract, require_same

TOKENS, LOGITS = "tokens", "logits"
Output = str
"""``tokens``, ``logits``, or the name of a readout (`models.readouts`): one vector an ECG."""


class Runner:
    """Checks signals, cuts them into equal batches and runs the jitted module on each."""

    def __init__(
        self,
        module: Encoder | Classifier,
        config: EncoderConfig,
        contract: SignalContract,
        name: str,
    ):
        graph, self._state = nnx.split(module)
        self._config, self._contract, self._name = config, contract, name

        self._full: set[tuple[Output, int, int]] = set()  # full batches compiled so far

        def run(
            state: nnx.State, signals: jax.Array, valid: jax.Array | None, output: Output
        ) -> jax.Array:
            return apply(nnx.merge(graph, state), signals, output, valid)

        self._run = jax.jit(run, static_argnames="output")

    def __call__(
        self,
        output: Output,
        signals: np.ndarray,
        lead_mask: np.ndarray | None,
        valid_samples: np.ndarray | None,
        contract: SignalContract | None,
        batch_size: int,
    ) -> np.ndarray:
        """(N, T, leads) millivolts -> (N, ...) float32; UserError on anything else."""
        if output not in (TOKENS, LOGITS):
            check_readout(output, self._config)
        if contract is not None:
            require_same(contract, self._contract, "the signals", f"bundle {self._name}")
        signals = np.asarray(signals)
        self._check_shape(signals, lead_mask, batch_size)
        if valid_samples is not None:
            valid_samples = self.checked_valid(valid_samples, signals)
            if valid_samples.min() == signals.shape[1]:
                valid_samples = None  # so that the usual case needs no second compilation
        total = len(signals)
        shape = (output, signals.shape[1], batch_size)
        if total >= batch_size or shape in self._full:
            self._full.add(shape)
            size = batch_size
        else:  # few records: the next power of two, so that any N needs few compilations
            size = min(batch_size, 1 << (total - 1).bit_length())
        results = []
        for start in range(0, total, size):
            batch = signals[start : start + size].astype(np.float32)
            if lead_mask is not None:
                batch = np.where(lead_mask[start : start + size, None, :], batch, np.float32(0))
            self._check_finite(batch, start)
            count = len(batch)
            if count < size:
                batch = np.concatenate(
                    [batch, np.zeros((size - count, *batch.shape[1:]), np.float32)]
                )
            valid = None
            if valid_samples is not None:
                valid = np.full(size, signals.shape[1], np.int32)
                valid[:count] = valid_samples[start : start + size]
            with jax.default_matmul_precision("highest"):
                result = self._run(self._state, jnp.asarray(batch), valid, output=output)
            results.append(np.asarray(result)[:count])
        return np.concatenate(results)

    def checked(
        self, signals: np.ndarray, lead_mask: np.ndarray | None, batch_size: int
    ) -> np.ndarray:
        """float32 signals at whatever rate, missing leads zero; UserError if it is no such array,
        or not finite."""
        self._check_shape(signals, lead_mask, batch_size)
        cleaned = signals.astype(np.float32)
        if lead_mask is not None:
            cleaned = np.where(lead_mask[:, None, :], cleaned, np.float32(0))
        self._check_finite(cleaned, 0)
        return cleaned

    def _check_shape(
        self, signals: np.ndarray, lead_mask: np.ndarray | None, batch_size: int
    ) -> None:
        leads = len(self._contract.leads)
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}, but must be 1 or more.")
        if signals.ndim != 3 or signals.shape[2] != leads or len(signals) == 0:
            raise UserError(
                f"signals have the shape {signals.shape}, but bundle {self._name} takes (records, "
                f"time, {leads}): {leads} leads {' '.join(self._contract.leads)} last, at least "
                "one record."
            )
        if not np.issubdtype(signals.dtype, np.floating):
            raise UserError(
                f"signals are {signals.dtype}, but bundle {self._name} takes floating millivolts; "
                "divide microvolts by 1000."
            )
        if self._config.n_tokens(signals.shape[1]) < 1:
            raise UserError(
                f"signals of {signals.shape[1]} samples are shorter than one token of bundle "
                f"{self._name} ({self._config.samples_per_token} samples)."
            )
        if lead_mask is not None and np.shape(lead_mask) != (len(signals), leads):
            raise UserError(
                f"lead_mask has the shape {np.shape(lead_mask)}, but must be "
                f"({len(signals)}, {leads})."
            )

    def checked_valid(self, valid_samples: np.ndarray | None, signals: np.ndarray) -> np.ndarray:
        """Samples of each ECG before zero padding, (N,), all of them if not given; UserError if
        they cannot be.
        """
        samples = signals.shape[1]
        if valid_samples is None:
            return np.full(len(signals), samples)
        valid = np.asarray(valid_samples)
        whole = np.issubdtype(valid.dtype, np.integer) and valid.shape == (len(signals),)
        if not whole or valid.min() < 1 or valid.max() > samples:
            raise UserError(
                f"valid_samples must be {len(signals)} whole numbers from 1 to {samples}, one for "
                "each record."
            )
        return valid

    def check_crops(self, protocol: EvaluationProtocol, n_samples: int) -> None:
        """UserError if the crops of a protocol cannot be those of signals of ``n_samples``."""
        name = f"the signals for bundle {self._name}"
        protocol.check(self._contract, self._config.n_tokens, name, n_samples)

    def _check_finite(self, batch: np.ndarray, start: int) -> None:
        finite = np.isfinite(batch).all(1)
        if not finite.all():
            record, lead = np.argwhere(~finite)[0]
            raise UserError(
                f"record {start + record} has NaN or infinity in lead "
                f"{self._contract.leads[lead]}; mask missing leads with lead_mask."
            )


def apply(
    module: Encoder | Classifier,
    signals: jax.Array,
    output: Output,
    valid_samples: jax.Array | None = None,
) -> jax.Array:
    """Tokens, what is read out of them, or logits, float32, of a batch (B, T, leads), the last
    samples of which may be padding (``valid_samples``, (B,)).
    """
    if output == LOGITS:
        assert isinstance(module, Classifier)  # `Bundle.logits` refuses an encoder
        return module(signals, valid_samples=valid_samples).astype(jnp.float32)
    encoder = module.encoder if isinstance(module, Classifier) else module
    features = encoder.features(signals, valid_samples=valid_samples)
    found = encoder.context(features)
    if output == TOKENS:
        return found.tokens.astype(jnp.float32)
    return read_out(output, features, found)
