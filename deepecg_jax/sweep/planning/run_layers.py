"""Which keys hold for a run at a point of the grid: those of all, its own, the grid's, the seed."""

import itertools
from collections.abc import Iterator, Sequence

from deepecg_jax.errors import UserError
from deepecg_jax.sweep.planning.config import Overrides, Stage, SweepConfig
from deepecg_jax.sweep.planning.jobs import Point
from deepecg_jax.sweep.planning.layers import Layer, Staged, merged, staged

SHARE, NESTED = "data.label_share", "data.nested_shares"


def points(sweep: SweepConfig) -> list[Point]:
    """All points of the grid but those that are excluded; one empty point without a grid."""
    return list(_points(sweep))


def _points(sweep: SweepConfig) -> Iterator[Point]:
    for values in itertools.product(*sweep.grid.values()):
        point = dict(zip(sweep.grid, values, strict=True))
        if not any(all(point[key] == v for key, v in out.items()) for out in sweep.exclude):
            yield point


class RunLayers:
    """The keys of a sweep in the order in which they win: of all, a run's, the grid's, the seed.

    Where runs or the grid differ in ``data.label_share``, the shares of a stage are nested unless
    the sweep says otherwise: a learning curve adds patients.
    """

    def __init__(self, sweep: SweepConfig, name: str):
        """UserError for keys of ``set``, ``runs`` or ``grid`` that no stage has, or twice given."""
        self.name, self.baselines = name, sweep.baselines
        self.stages: tuple[Stage, ...] = tuple(sweep.stages.files())
        self.seed_stage: Stage = "finetune" if "finetune" in self.stages else "pretrain"
        self._set = staged(Layer(f"set of {name}", sweep.set), self.stages)
        self._grid = staged(Layer(f"grid of {name}", dict.fromkeys(sweep.grid)), self.stages)
        self._runs = {run: self._own(run, keys) for run, keys in sweep.runs.items()}
        self._check(self._set, f"set of {name}")
        self._refuse_seed(self._grid, f"grid of {name}")
        for run, keys in self._runs.items():
            self._check(keys, f"run {run!r} of {name}")
        differing = [*self._runs.values(), self._grid]
        self._nested: Staged = {
            stage: {NESTED: True}
            for stage in self.stages
            if any(SHARE in keys.get(stage, {}) for keys in differing)
        }

    def pretrains(self, run: str) -> bool:
        """Whether the run has a pretraining."""
        return "pretrain" in self._runs[run]

    def of_run(self, run: str, point: Point, seed: int) -> Staged:
        """The keys of a run, for the stages that it has."""
        own = self._runs[run]
        layers = [self._nested, self._set, own, self._at(point), self._seed(seed)]
        return {stage: keys for stage, keys in merged(layers).items() if stage in own}

    def of_all(self, point: Point, seed: int) -> Staged:
        """The keys of a run that has none of its own."""
        return merged([self._nested, self._set, self._at(point), self._seed(seed)])

    def part(self, point: Point, stage: Stage) -> Point:
        """The keys of a point that a stage has."""
        return {
            key: value
            for key, value in point.items()
            if staged(Layer(f"grid of {self.name}", {key: value}), self.stages).get(stage)
        }

    def who(self, run: str, point_words: str = "") -> str:
        """What sentences call a run."""
        at = f" at {point_words}" if point_words else ""
        return f"run {run!r} of {self.name}{at}"

    def _own(self, run: str, keys: Overrides) -> Staged:
        where = f"run {run!r} of {self.name}"
        stages: Sequence[Stage] = self.stages
        if "pretrain" in keys:
            if keys["pretrain"] is not None:
                raise UserError(
                    f"{where}: pretrain can only be null, a run without pretraining; keys of its "
                    "pretraining are written pretrain.KEY."
                )
            keys = {key: value for key, value in keys.items() if key != "pretrain"}
            stages = tuple(stage for stage in stages if stage != "pretrain")
            if not stages:
                raise UserError(f"{where} has no pretraining, and there is no other stage.")
        return staged(Layer(where, keys), stages)

    def _at(self, point: Point) -> Staged:
        return staged(Layer(f"grid of {self.name}", point), self.stages)

    def _seed(self, seed: int) -> Staged:
        return {self.seed_stage: {"seed": seed}}

    def _refuse_seed(self, keys: Staged, where: str) -> None:
        if "seed" in keys.get(self.seed_stage, {}):
            raise UserError(
                f"{where}: the seed of stage {self.seed_stage} is given by seeds; write seeds: "
                "[...]"
                + (
                    ", and pretrain.seed for that of the pretraining."
                    if len(self.stages) > 1
                    else "."
                )
            )

    def _check(self, keys: Staged, where: str) -> None:
        self._refuse_seed(keys, where)
        for stage, own in keys.items():
            twice = sorted(own.keys() & self._grid.get(stage, {}).keys())
            if twice:
                raise UserError(
                    f"{where} gives {stage}.{twice[0]}, and so does the grid; leave it out of one."
                )
