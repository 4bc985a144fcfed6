"""Numbers that a model is built with and that no training changes."""

from flax import nnx


class Constant(nnx.BatchStat):
    """An array that is drawn or computed when a model is built, and stored with its weights.

    To a training it is a running statistic that no pass updates: the state carries it, no optimizer
    touches it, bundles and averages have it.
    """
