"""The training state: a plain dict of step, params, opt_state, sharded from birth.

Where the model or the training has them it also holds ``statistics`` (running statistics, which the
forward pass updates and no optimizer touches), ``ema`` and ``best``; the weights in these two are
complete, statistics included.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.models.axes import logical_axes
from deepecg_jax.training.mesh import parameter_shardings, replicated

State = dict[str, Any]
Build = Callable[[jax.Array], nnx.Module]


def split_model(model: nnx.Module) -> tuple[Any, dict[str, Any]]:
    """An NNX module as (graph definition, nested dict of arrays); `nnx.merge` is the way back."""
    graphdef, variables = nnx.split(model)
    return graphdef, nnx.to_pure_dict(variables)


def parts_of(model: nnx.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables of a module as what is trained and what is running statistics."""
    _, params, statistics = nnx.split(model, nnx.Param, nnx.BatchStat)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)


def new_statistics(model: nnx.Module) -> dict[str, dict[str, Any]]:
    """What a loss adds to its metrics: ``statistics`` after the pass, or nothing without any."""
    statistics = parts_of(model)[1]
    return {"statistics": statistics} if statistics else {}


def weights_of(state: State) -> dict[str, Any]:
    """The complete weights to validate and to keep: the moving average if there is one."""
    return state["ema"] if "ema" in state else overlay(state["params"], state.get("statistics", {}))


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

    start_from: a partial nested dict of arrays that replace the initial weights (an encoder).
    ema, keep_best: carry a moving average, and the best weights of a validation, in the state.
    Returns (graphdef, state, shardings); shardings has the structure of the state.
    Adam's moments get the sharding of their parameter: `optimizer.init` alone would replicate
    them inside jit.
    """
    abstract = nnx.eval_shape(lambda: build(jax.random.key(0)))
    graphdef = split_model(abstract)[0]
    abstract_params, abstract_statistics = parts_of(abstract)
    axes = logical_axes(abstract)
    param_shardings = parameter_shardings(abstract_params, mesh, axes)
    statistics_shardings = parameter_shardings(abstract_statistics, mesh, axes)
    weight_shardings = overlay(param_shardings, statistics_shardings)
    everywhere = replicated(mesh)
    opt_shardings = optax.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, abstract_params),
        param_shardings,
        transform_non_params=lambda _: everywhere,
    )
    shardings: State = {"step": everywhere, "params": param_shardings, "opt_state": opt_shardings}
    if statistics_shardings:
        shardings["statistics"] = statistics_shardings
    if ema:
        shardings["ema"] = weight_shardings
    if keep_best:
        shardings["best"] = {"params": weight_shardings, "score": everywhere, "stale": everywhere}

    def init(key: jax.Array, start_from: Any) -> State:
        weights = overlay(split_model(build(key))[1], start_from)
        params = _select(weights, abstract_params)
        state = {"step": jnp.int32(0), "params": params, "opt_state": optimizer.init(params)}
        if abstract_statistics:
            state["statistics"] = _select(weights, abstract_statistics)
        if ema:
            state["ema"] = jax.tree.map(jnp.copy, weights)
        if keep_best:
            state["best"] = {
                "params": jax.tree.map(jnp.copy, weights),
                "score": jnp.float32(-jnp.inf),
                "stale": jnp.int32(0),
            }
        return state

    # it runs once, so on CPU the time to compile it is what counts
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    state = jax.jit(init, out_shardings=shardings, compiler_options=options)(key, start_from or {})
    return graphdef, state, shardings


def overlay(params: dict[str, Any], replacement: dict[str, Any]) -> dict[str, Any]:
    """``params`` with the subtrees of ``replacement`` in place of its own, or added."""
    merged = dict(params)
    for name, value in replacement.items():
        if isinstance(value, dict) and isinstance(params.get(name), dict):
            merged[name] = overlay(params[name], value)
        else:
            merged[name] = value
    return merged


def _select(tree: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """The leaves of ``tree`` that ``like`` has too."""
    return {
        name: _select(tree[name], value) if isinstance(value, dict) else tree[name]
        for name, value in like.items()
    }


def abstract_state(state: State, shardings: State) -> State:
    """Shapes, dtypes and target shardings: what a checkpoint is restored into."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )
