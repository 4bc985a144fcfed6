"""Logical axes of every parameter: what a mesh may split, as the modules themselves declare it.

A module class says in ``AXES`` what the axes of its parameters are, by attribute:
``{"kernel": ("width", "hidden")}``; None for an axis that is never split. The names are those of
`deepecg_jax.models.sharding.RULES`. Vectors and scalars need no rule: they are replicated.
"""

from flax import nnx

from deepecg_jax.errors import UserError
from deepecg_jax.models.sharding import Axes


def logical_axes(module: nnx.Module) -> dict[str, Axes]:
    """Logical axes of every variable of a module (of arrays or of shapes) by its dotted name.

    Parameters in a list (`nnx.List`) share the rule of the list's attribute.

    Raises:
        UserError: a parameter of two or more axes has no rule, or one of another length.
    """
    nodes = {tuple(path): node for path, node in nnx.iter_graph(module)}
    found: dict[str, Axes] = {}
    for path, node in nodes.items():
        if not isinstance(node, nnx.Variable):
            continue
        depth = len(path) - 1
        while isinstance(nodes[path[:depth]], (nnx.List, nnx.Dict)):
            depth -= 1
        owner, name = type(nodes[path[:depth]]), str(path[depth])
        rank = len(node.shape)
        rule: Axes | None = getattr(owner, "AXES", {}).get(name)
        if rule is None and rank < 2:
            rule = (None,) * rank
        dotted = ".".join(map(str, path))
        where = f"the parameter {dotted} {tuple(node.shape)}"
        if rule is None:
            raise UserError(
                f"{where} has no logical axes; add {name!r} to {owner.__name__}.AXES, None for "
                "an axis that is never split."
            )
        if len(rule) != rank:
            raise UserError(f"{where} has {rank} axes, but {owner.__name__}.AXES says {rule}.")
        found[dotted] = rule
    return found
