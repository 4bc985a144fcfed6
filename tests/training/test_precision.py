"""bfloat16 activations train as float32 ones do, within a stated band."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from deepecg_jax.config import TrainConfig
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.training.metrics_log import read_metrics
from deepecg_jax.training.state import shapes_of, split_model

STEPS, WINDOW = 200, 50
BAND = 0.001
"""Most that the mean loss of 50 steps may differ, as a share: about eight times what was seen."""


@pytest.fixture
def losses(fit_small, model_config, records, mesh_of, tmp_path):
    objective = WCRObjectiveConfig(negatives=10, mask_span=3, codewords=8, final_dim=8)
    # the stem of the shipped sizes: rounding adds up over its layers
    model = WCRConfig(**{**model_config.model_dump(), "conv_layers": ((8, 2, 2),) * 4})

    def build(key):
        return Pretrainer(model, objective, key)

    graphdef = split_model(shapes_of(build))[0]

    def run(dtype, mesh):
        def loss(weights, batch, draw, frozen):
            model = nnx.merge(graphdef, weights)
            return objective.loss(model.encoder, model.heads, batch, draw, dtype)

        workdir = tmp_path / f"{jnp.dtype(dtype).name}{mesh.size}"
        settings = TrainConfig(steps=STEPS, global_batch=8, log_every=1, checkpoint_every=STEPS)
        fit_small(workdir, mesh, settings, records, build, loss, warmup=20)
        return np.array([row["loss"] for row in read_metrics(workdir / "metrics.jsonl")])

    return run


@pytest.mark.slow
def test_losses_agree_over_hundreds_of_steps(losses, mesh_of):
    wide, narrow = losses(jnp.float32, mesh_of(1)), losses(jnp.bfloat16, mesh_of(1))
    means = [x.reshape(-1, WINDOW).mean(1) for x in (wide, narrow)]
    assert means[0][-1] < 0.97 * means[0][0], "it learns"
    assert np.any(wide != narrow)
    np.testing.assert_allclose(means[1], means[0], rtol=BAND)
