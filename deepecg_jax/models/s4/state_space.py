"""The state spaces of a layer: one of N numbers for each channel, their parameters and output."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from deepecg_jax.models.axes import Axes
from deepecg_jax.models.constants import Constant
from deepecg_jax.models.execution import execution
from deepecg_jax.models.s4.convolution import WAYS
from deepecg_jax.models.s4.discrete import Continuous, Discrete, bilinear
from deepecg_jax.models.s4.hippo import legs
from deepecg_jax.models.s4.shape import S4Shape

Array = jax.Array
SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1


class StateSpace(nnx.Module):
    """A linear state space a channel (Gu et al. 2022): channels do not meet here.

    All channels have the state matrix and the input of HiPPO-LegS, each its own step (log-uniform)
    and output (complex normal), and its own skip (normal). The output and the skip are trained;
    step, matrix and input only where the config says ``learn_state``.
    Complex numbers are real parts, then imaginary parts. The decay is stored as its logarithm, so
    that no training makes a state grow.
    """

    AXES: ClassVar[dict[str, Axes]] = {"output": (None, None, None)}

    def __init__(self, config: S4Shape, key: Array):
        step_key, output_key, skip_key = jax.random.split(key, 3)
        kind = nnx.Param if config.learn_state else Constant
        spectrum = legs(config.state)
        nothing = np.zeros(config.state // 2)  # imaginary parts

        def stored(values: Array | np.ndarray) -> nnx.Variable[Array]:
            return kind(jnp.asarray(values, jnp.float32))

        steps = jax.random.uniform(
            step_key,
            (config.width,),
            minval=math.log(SHORTEST_STEP),
            maxval=math.log(LONGEST_STEP),
        )
        self.log_step = stored(steps)
        self.log_decay = stored(np.log(spectrum.decay))
        self.frequency = stored(spectrum.frequency)
        self.input = stored(np.concatenate([spectrum.input, nothing]))
        low_rank = np.concatenate([spectrum.low_rank, nothing])
        self.low_rank = stored(low_rank) if config.kernel == "nplr" else None
        directions = 1 if config.causal else 2
        shape = (directions, config.width, config.state)
        # a complex number of variance one
        self.output = nnx.Param(math.sqrt(0.5) * jax.random.normal(output_key, shape))
        self.skip = nnx.Param(jax.random.normal(skip_key, (config.width,)))

    def discrete(self) -> Discrete:
        """In steps of one token."""
        low_rank = None if self.low_rank is None else self.low_rank[...]
        return bilinear(
            Continuous(
                jnp.exp(self.log_step[...]),
                jnp.exp(self.log_decay[...]),
                self.frequency[...],
                low_rank,
                self.input[...],
                self.output[...],
                self.skip[...],
            )
        )

    def __call__(self, x: Array) -> Array:
        """(B, N, D) -> (B, N, D), for any number of tokens, in the dtype of ``x``."""
        return WAYS[execution().long_convolution](x, self.discrete())
