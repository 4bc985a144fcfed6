"""What version 0.1 wrote is read as before: states, and what a bundle says of its objective."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives import older
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.training.checkpoint import Checkpoints

MODEL = WCRConfig(size="tiny", width=16, heads=2, layers=1, ffn_width=24, positional_groups=2)
# as that version wrote it into every bundle and checkpoint
STORED = {
    **MODEL.model_dump(mode="json"),
    "codebook_groups": 2,
    "codewords": 6,
    "latent_dim": 0,
    "final_dim": 8,
    "lead_decoder": True,
    "dropout_features": 0.0,
}
OBJECTIVE = WCRObjectiveConfig(codewords=6, final_dim=8, lead_decoder=True, dropout_features=0.0)


@pytest.fixture
def state():
    module = Pretrainer(MODEL, OBJECTIVE, jax.random.key(0))
    params = nnx.to_pure_dict(nnx.state(module))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    moments = optimizer.init(params)
    _, moments = optimizer.update(params, moments, params)
    return {"step": jnp.int32(4), "params": params, "opt_state": moments, "ema": params}


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_bundle_says_its_objective_in_its_model() -> None:
    assert older.objective_of(STORED, MODEL) == OBJECTIVE


@pytest.mark.slow
def test_layouts_are_inverse(state) -> None:
    flat = older.older_layout(state)
    heads = ["lead_decoder", "project_context", "project_target", "quantizer"]
    assert sorted(flat["params"]) == sorted(flat["ema"]) == ["encoder", *heads]
    assert sorted(flat["opt_state"][1][0].mu) == ["encoder", *heads]
    assert_equal(older.newer_layout(flat, state), state)
    # a classifier, whose head is not an objective's, is left as it is
    classifier = {"params": {"encoder": state["params"]["encoder"], "head": {"bias": jnp.ones(2)}}}
    assert_equal(older.older_layout(classifier), classifier)


@pytest.mark.slow
def test_a_checkpoint_of_version_0_1_is_restored(state, tmp_path) -> None:
    with Checkpoints(tmp_path / "c", 1, {"model": STORED, "seed": 0}) as saved:
        saved.save(4, older.older_layout(state), {"next": 1})
    own = {"model": MODEL.model_dump(mode="json"), "objective": "wcr", "seed": 0}
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), state)
    with Checkpoints(tmp_path / "c", 1, own) as saved:
        restored, position = saved.restore(abstract)
        assert position == {"next": 1}
        assert_equal(jax.device_get(restored), jax.device_get(state))
    faster = MODEL.model_copy(update={"remat": "full"}).model_dump(mode="json")
    with Checkpoints(tmp_path / "c", 1, own | {"model": faster}) as saved:
        saved.restore(abstract)  # what changes no number may change
    wider = MODEL.model_copy(update={"ffn_width": 32}).model_dump(mode="json")
    with (
        Checkpoints(tmp_path / "c", 1, own | {"model": wider}) as saved,
        pytest.raises(UserError, match="another model"),
    ):
        saved.restore(abstract)
