"""The training state: a plain dict of step, params, opt_state (ema, best), sharded from birth."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.training.mesh import parameter_shardings, replicated

State = dict[str, Any]
Build = Callable[[jax.Array], nnx.Module]


def split_model(model: nnx.Module) -> tuple[Any, dict[str, Any]]:
    """An NNX module as (graph definition, nested dict of arrays); `nnx.merge` is the way back."""
    graphdef, params = nnx.split(model, nnx.Param)
    return graphdef, nnx.to_pure_dict(params)


def make_state(
    build: Build,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    key: jax.Array,
    ema: bool = False,
    start_from: Any | None = None,
    keep_best: bool = False,
) -> tuple[Any, State, State]:
    """Initialise in one jitted call with explicit shardings; nothing is ever whole on one device.

    start_from: a partial nested dict of arrays that replace the initial parameters (an encoder).
    ema, keep_best: carry a moving average, and the best weights of a validation, in the state.
    Returns (graphdef, state, shardings); shardings has the structure of the state.
    Adam's moments get the sharding of their parameter: `optimizer.init` alone would replicate
    them inside jit.
    """
    abstract = nnx.eval_shape(lambda: build(jax.random.key(0)))
    graphdef, abstract_params = split_model(abstract)
    param_shardings = parameter_shardings(abstract_params, mesh)
    everywhere = replicated(mesh)
    opt_shardings = optax.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, abstract_params),
        param_shardings,
        transform_non_params=lambda _: everywhere,
    )
    shardings: State = {"step": everywhere, "params": param_shardings, "opt_state": opt_shardings}
    if ema:
        shardings["ema"] = param_shardings
    if keep_best:
        shardings["best"] = {"params": param_shardings, "score": everywhere, "stale": everywhere}

    def init(key: jax.Array, start_from: Any) -> State:
        params = overlay(split_model(build(key))[1], start_from)
        state = {"step": jnp.int32(0), "params": params, "opt_state": optimizer.init(params)}
        if ema:
            state["ema"] = jax.tree.map(jnp.copy, params)
        if keep_best:
            state["best"] = {
                "params": jax.tree.map(jnp.copy, params),
                "score": jnp.float32(-jnp.inf),
                "stale": jnp.int32(0),
            }
        return state

    # it runs once, so on CPU the time to compile it is what counts
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    state = jax.jit(init, out_shardings=shardings, compiler_options=options)(key, start_from or {})
    return graphdef, state, shardings


def overlay(params: dict[str, Any], replacement: dict[str, Any]) -> dict[str, Any]:
    """``params`` with the subtrees of ``replacement`` in place of its own."""
    merged = dict(params)
    for name, value in replacement.items():
        if isinstance(value, dict) and isinstance(params.get(name), dict):
            merged[name] = overlay(params[name], value)
        else:
            merged[name] = value
    return merged


def abstract_state(state: State, shardings: State) -> State:
    """Shapes, dtypes and target shardings: what a checkpoint is restored into."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )
