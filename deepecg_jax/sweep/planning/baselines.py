"""What stands beside every number of a pretrained encoder, so that it can be judged.

The same shape from scratch, the same shape random and frozen, and age and sex alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue

from deepecg_jax.bundle import bundle
from deepecg_jax.config import FinetuneConfig
from deepecg_jax.errors import UserError
from deepecg_jax.files import read_json
from deepecg_jax.models.encoder import EncoderConfig
from deepecg_jax.models.families import encoder_config
from deepecg_jax.sweep.planning.jobs import Planner, Point, Row
from deepecg_jax.sweep.planning.layers import Base
from deepecg_jax.sweep.planning.names import identity, point_text, readable
from deepecg_jax.sweep.planning.run_layers import RunLayers

SCRATCH, RANDOM, AGE_SEX = "scratch", "random", "age_sex"
# what suits weights that nothing is known of: a stem that learns, at the rate of all the rest
_NEW: dict[str, JsonValue] = {
    "init_from": None,
    "feature_gradient": 1.0,
    "optimizer.group_factor": 1.0,
}
# what a frozen encoder needs where the sweep trains all weights: its vectors are standardised, so a
# larger rate, from the first step on, and no average of the weights
PROBE: dict[str, JsonValue] = {
    "mode": "linear",
    "optimizer.learning_rate": 2e-3,
    "schedule.warmup_steps": 0,
    "train.ema_decay": None,
}


class Pretrained(NamedTuple):
    """An encoder that some run pretrains, and the first run that does."""

    encoder: EncoderConfig
    run: str


@dataclass
class Baselines:
    """Collects the pretrained encoders of a sweep, point by point of its grid."""

    base: Base
    layers: RunLayers
    found: dict[str, dict[str, Pretrained]] = field(default_factory=dict)

    def add(self, run: str, point: Point, encoder: EncoderConfig) -> None:
        """Note the encoder of a run; what only regularises its training makes no other shape."""
        at = self.found.setdefault(point_text(point), {})
        at.setdefault(_shape(encoder), Pretrained(encoder, run))

    def plan(self, planner: Planner, points: Sequence[Point], seeds: Sequence[int]) -> None:
        """Add jobs and rows, unless there is nothing pretrained or nothing fine-tuned.

        A baseline that a run of the sweep is already gets no row of its own.
        """
        if not self.found or "finetune" not in self.layers.stages:
            return
        taken = {planner.jobs[row.job].digest for row in planner.rows}
        rows: dict[str, list[Row]] = {}
        for point in points:
            own = self.layers.part(point, "finetune")
            for seed in seeds:
                config = None
                for run, config in self._configs(point, seed):
                    if identity(config) not in taken:
                        job = planner.finetuning(run, own, seed, config, None)
                        rows.setdefault(run, []).append(Row(run, point, seed, job.name, True))
                if config is not None:
                    job = planner.age_sex(AGE_SEX, own, seed, config)
                    rows.setdefault(AGE_SEX, []).append(Row(AGE_SEX, point, seed, job.name, True))
        for name in sorted(rows, key=lambda name: name == AGE_SEX):
            planner.rows += rows[name]

    def _configs(self, point: Point, seed: int) -> Iterator[tuple[str, FinetuneConfig]]:
        """(name, config) of each shape at a point, from scratch and random."""
        for kind in (SCRATCH, RANDOM):
            for encoder, run in self.found.get(point_text(point), {}).values():
                name = f"{kind}:{self._label(encoder, run)}"
                yield name, self._config(kind, encoder, point, seed, self.layers.who(name))

    def _config(
        self, kind: str, encoder: EncoderConfig, point: Point, seed: int, who: str
    ) -> FinetuneConfig:
        """The config of the stage with the keys of all runs, and a new encoder of that shape."""
        keys = self.layers.of_all(point, seed)["finetune"]
        given = self.base.finetuning(keys, who, encoder)  # for what regularises it
        if given.model is not None and given.model.kind == encoder.kind:
            names = encoder.TRAINING_FIELDS
            encoder = encoder.model_copy(update={n: getattr(given.model, n) for n in names})
        keys = {**keys, **_NEW}
        if kind == SCRATCH:
            head = given.head.kind if given.mode == "full" else given.mode
            keys |= {"mode": "full", "head.kind": head}
        elif given.mode != "attention":
            keys |= {**(PROBE if given.mode == "full" else {}), "head.kind": "linear"}
        return self.base.finetuning(keys, who, encoder=encoder)

    def _label(self, encoder: EncoderConfig, run: str) -> str:
        """The kind, the named shape where one kind has several, or else the run that has it."""
        same_kind = [
            [one for one in at.values() if one.encoder.kind == encoder.kind]
            for at in self.found.values()
        ]
        if all(len(at) <= 1 for at in same_kind):
            return encoder.kind
        titles = [[one.encoder.title for one in at] for at in same_kind]
        if all(len(set(at)) == len(at) for at in titles):
            return readable(encoder.title.lower())
        return f"{encoder.kind}-{run}"


def encoder_of(path: str, who: str) -> EncoderConfig:
    """The shape of the encoder in a bundle or a finished run.

    Raises:
        UserError: there is none.
    """
    try:
        return encoder_config(read_json(bundle.find(path) / bundle.CONFIG).get("model"))
    except (UserError, ValueError) as error:
        raise UserError(f"{who}: init_from: {error}") from error


def _shape(encoder: EncoderConfig) -> str:
    return encoder.model_dump_json(exclude=set(encoder.TRAINING_FIELDS))
