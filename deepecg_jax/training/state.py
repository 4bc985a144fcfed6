"""The training state, sharded from birth, and the weights in it."""

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from deepecg_jax.models.axes import Axes, logical_axes
from deepecg_jax.training.mesh import parameter_shardings, replicated, split_over_data
from deepecg_jax.training.optimizer import Update
from deepecg_jax.training.types import Array, Build, L, Nested, State, StateShardings, Weights

M = TypeVar("M", bound=nnx.Module)


def split_model(model: M) -> tuple[nnx.GraphDef[M], Weights]:
    """An NNX module as (graph definition, nested dict of arrays); `nnx.merge` is the way back."""
    graphdef, variables = nnx.split(model)
    return graphdef, nnx.to_pure_dict(variables)


def with_weights(model: M, weights: Weights) -> M:
    """A module like ``model`` that holds other weights."""
    return nnx.merge(nnx.split(model)[0], weights)


def parts_of(model: nnx.Module) -> tuple[Weights, Weights]:
    """The variables of a module as what is trained and what is running statistics."""
    _, params, statistics = nnx.split(model, nnx.Param, nnx.BatchStat)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)


def shapes_of(build: Build[M]) -> M:
    """The module that ``build`` makes, with shapes in place of arrays: nothing is computed."""
    return nnx.eval_shape(lambda: build(jax.random.key(0)))


def new_statistics(model: nnx.Module) -> dict[str, Weights]:
    """What a loss adds to its metrics: ``statistics`` after the pass, or nothing without any."""
    statistics = parts_of(model)[1]
    return {"statistics": statistics} if statistics else {}


def weights_of(state: State) -> Weights:
    """The complete weights to validate and to keep: the moving average if there is one."""
    return state["ema"] if "ema" in state else overlay(state["params"], state.get("statistics", {}))


def make_state(
    build: Build[nnx.Module],
    update: Update,
    mesh: Mesh,
    key: Array,
    start_from: Weights | None = None,
    keep_best: bool = False,
) -> tuple[State, StateShardings]:
    """Initialise in one jitted call with explicit shardings; nothing is ever whole on one device.

    start_from: a partial nested dict of arrays that replace the initial weights (an encoder).
    keep_best: carry the best weights of a validation in the state.
    The moving average and the teacher that ``update`` maintains begin as copies of the weights.
    """
    init, shardings = _initial(build, update, mesh, keep_best)
    # it runs once, so on CPU the time to compile it is what counts
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    compiled = jax.jit(init, out_shardings=shardings, compiler_options=options)
    return compiled(key, start_from or {}), shardings


def state_shapes(
    build: Build[nnx.Module], update: Update, mesh: Mesh, keep_best: bool = False
) -> tuple[State, StateShardings]:
    """What `make_state` makes, as shapes with shardings: for devices that need not be there.

    It is called outside of `jax.set_mesh`: optax runs an ``init`` of its own, on what is there.
    """
    init, shardings = _initial(build, update, mesh, keep_best)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return abstract_state(jax.eval_shape(init, key, {}), shardings), shardings


def _initial(
    build: Build[nnx.Module], update: Update, mesh: Mesh, keep_best: bool
) -> tuple[Callable[[Array, Weights], State], StateShardings]:
    """From a key and weights that replace some to the state at step 0, and where that is."""
    model = shapes_of(build)
    params, statistics = parts_of(model)

    def init(key: Array, start_from: Weights) -> State:
        weights = overlay(split_model(build(key))[1], start_from)
        trained = _select(weights, params)
        state: State = {
            "step": jnp.int32(0),
            "params": trained,
            "opt_state": update.optimizer.init(cast(optax.Params, trained)),
        }
        if statistics:
            state["statistics"] = _select(weights, statistics)
        if update.ema_decay is not None:
            state["ema"] = _copy(weights)
        if update.teacher is not None:
            state["teacher"] = update.teacher.begin(weights)
        if keep_best:
            state["best"] = {
                "params": _copy(weights),
                "score": jnp.float32(-jnp.inf),
                "stale": jnp.int32(0),
            }
        return state

    return init, _shardings(params, statistics, update, mesh, keep_best, logical_axes(model))


def _shardings(
    params: Weights,
    statistics: Weights,
    update: Update,
    mesh: Mesh,
    keep_best: bool,
    axes: Mapping[str, Axes],
) -> StateShardings:
    """Where each array of the state is; copies of the weights are where the weights are.

    Adam's moments get the sharding of their parameter: `optimizer.init` alone would replicate
    them inside jit.
    """
    everywhere = replicated(mesh)
    trained, running = (parameter_shardings(part, mesh, axes) for part in (params, statistics))
    weights = overlay(trained, running)
    moments, average = trained, weights
    if update.split_moments:
        moments = split_over_data(params, trained, mesh)
        average = overlay(moments, running)
    shardings: StateShardings = {
        "step": everywhere,
        "params": trained,
        "opt_state": optax.tree_map_params(
            update.optimizer,
            lambda _, sharding: sharding,
            jax.eval_shape(update.optimizer.init, params),
            moments,
            transform_non_params=lambda _: everywhere,
        ),
    }
    if running:
        shardings["statistics"] = running
    if update.ema_decay is not None:
        shardings["ema"] = average
    if update.teacher is not None:
        shardings["teacher"] = update.teacher.of(weights)
    if keep_best:
        shardings["best"] = {"params": weights, "score": everywhere, "stale": everywhere}
    return shardings


def overlay(params: Nested[L], replacement: Nested[L]) -> Nested[L]:
    """``params`` with the subtrees of ``replacement`` in place of its own, or added."""
    merged = dict(params)
    for name, value in replacement.items():
        own = params.get(name)
        if isinstance(value, dict) and isinstance(own, dict):
            merged[name] = overlay(own, value)
        else:
            merged[name] = value
    return merged


def _select(tree: Weights, like: Weights) -> Weights:
    """The leaves of ``tree`` that ``like`` has too."""
    return {
        name: _select(cast(Weights, tree[name]), value) if isinstance(value, dict) else tree[name]
        for name, value in like.items()
    }


def _copy(weights: Weights) -> Weights:
    """So that the state, whose memory a step gives away, holds no buffer twice."""
    return jax.tree.map(jnp.copy, weights)


def abstract_state(state: State, shardings: StateShardings) -> State:
    """Shapes, dtypes and target shardings: what a checkpoint is restored into."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )
