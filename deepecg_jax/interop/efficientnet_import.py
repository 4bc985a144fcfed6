"""DeepECG-SL's EfficientNet checkpoints: the architecture, inferred from tensors, and the weights.

Block types, widths, depths, kernels, expansions, gate widths, leads and labels are read off the
tensors. Strides, the input's scale and stochastic depth leave no trace there:

* strides are those of the named variant whose blocks are the same, else, where the blocks form six
  runs of one shape, those that all variants share (1, 1, 2, 2, 2, 2), else they must be given;
* ``input_scale`` must be said by the caller (`DEPLOYED_INPUT_SCALE` for the published weights);
* stochastic depth, which only further training uses, is the default.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from deepecg_jax.bundle.architecture import Architecture
from deepecg_jax.errors import UserError
from deepecg_jax.interop import torch_names
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.efficientnet.shape import STRIDES, VARIANTS, Stage
from deepecg_jax.models.heads import HeadConfig

DEPLOYED_INPUT_SCALE = 1.0 / 0.0048
"""The deployed DeepECG-SL multiplies millivolts by this before the network: counts of 4.8 uV."""

State = Mapping[str, np.ndarray]


class Imported(NamedTuple):
    """What `bundle.save` takes: ``head`` is None and ``n_labels`` 0 without a classifier."""

    model: EfficientNetConfig
    head: HeadConfig | None
    n_labels: int
    params: Any


class _Block(NamedTuple):
    """What the tensors of a block say."""

    kind: Literal["fused", "mbconv"]
    n_in: int
    inner: int
    width: int
    kernel: int
    reduced: int

    @property
    def expansion(self) -> int:
        return self.inner // self.n_in if self.kind == "mbconv" else 1


def import_state(
    state: State,
    *,
    input_scale: float,
    strides: Sequence[int] | None = None,
    where: str = "the state dict",
) -> Imported:
    """Architecture and weights of a DeepECG-SL state dict, completely or not at all.

    Args:
        state: tensors by their original names (``initial_conv.0.weight``, ...), float32;
            ``num_batches_tracked`` int64, or absent everywhere. A prefix that all names share, such
            as ``model.``, is dropped.
        input_scale: what millivolts are multiplied by before the network.
        strides: of each run of blocks of one type, width and kernel; None: see the module.
        where: the file, for messages.

    Raises UserError that lists every missing, extra and mis-shaped tensor, or says what of the
    architecture cannot be known.
    """
    state = _without_prefix(state, where)
    reader = _Reader(state, where)
    shape = _read_shape(reader, strides)
    if reader.problems:  # what is missing of a named variant can be listed completely
        variant = _nearest_variant(state)
        if variant is None:
            raise UserError(
                f"{where}: the architecture cannot be told, nothing was loaded: "
                f"{'; '.join(reader.problems)}."
            )
        shape = {"variant": variant}
    n_labels = state["classifier.3.weight"].shape[0] if "classifier.3.weight" in state else 0
    head = HeadConfig(kind="linear") if n_labels else None
    model = EfficientNetConfig.model_validate({**shape, "input_scale": input_scale})
    architecture = Architecture(model, head, n_labels)
    links = torch_names.links_of(architecture)
    counts = {link.torch for link in links if link.dtype == "int64"}
    absent = counts if not counts & state.keys() else set()
    arrays = torch_names.to_jax(state, links, architecture.shapes(), where, absent)
    return Imported(model, head, n_labels, architecture.nested(arrays))


def _without_prefix(state: State, where: str) -> dict[str, np.ndarray]:
    """The same with names from ``initial_conv`` on; UserError if there is none."""
    first = "initial_conv.0.weight"
    prefixes = {name.removesuffix(first) for name in state if name.endswith(first)}
    if len(prefixes) != 1:
        names = ", ".join(sorted(state)[:3])
        raise UserError(
            f"{where} is no DeepECG-SL EfficientNet: it has {len(prefixes) or 'no'} tensors "
            f"{first}; its tensors are {names or 'none'} ..."
        )
    (prefix,) = prefixes
    # a name without the prefix is kept as it is, and then listed as extra
    return {name.removeprefix(prefix): value for name, value in state.items()}


class _Reader:
    """Shapes by name; what is missing or impossible is collected."""

    def __init__(self, state: State, where: str):
        self.state, self.where = state, where
        self.problems: list[str] = []

    def shape(self, name: str) -> tuple[int, int, int]:
        """Of a convolution's kernel, (out, in, taps); zeros, and a problem, if it is missing."""
        value = self.state.get(name)
        if value is None or value.ndim != 3:
            found = "missing" if value is None else f"{value.shape}, expected 3 axes:"
            self.problems.append(f"{found} {name}")
            return (0, 0, 0)
        return value.shape

    def blocks(self, n_in: int) -> list[_Block]:
        """The blocks in order, of which the first takes ``n_in`` channels."""
        found = (re.match(r"features\.(\d+)\.", name) for name in self.state)
        numbers = {int(match.group(1)) for match in found if match}
        blocks: list[_Block] = []
        for j in range(max(numbers, default=0) + 1):
            blocks.append(self._block(f"features.{j}", n_in))
            n_in = blocks[-1].width
        return blocks

    def _block(self, place: str, n_in: int) -> _Block:
        before = len(self.problems)
        reduced = self.shape(f"{place}.se.se.1.weight")[0]
        if f"{place}.depthwise_conv.0.weight" in self.state:
            inner, _, kernel = self.shape(f"{place}.depthwise_conv.0.weight")
            width = self.shape(f"{place}.project_conv.0.weight")[0]
            expand = f"{place}.expand_conv.0.weight"
            given = self.shape(expand)[1] if expand in self.state else inner
            block = _Block("mbconv", n_in, inner, width, kernel, reduced)
        else:
            width, given, kernel = self.shape(f"{place}.fused_conv.0.weight")
            block = _Block("fused", n_in, width, width, kernel, reduced)
        if len(self.problems) > before or not n_in:
            return block
        if given != n_in:
            self.problems.append(f"{place} takes {given} channels where {n_in} arrive")
        elif block.kind == "mbconv" and block.inner % n_in:
            self.problems.append(f"{place} expands {n_in} channels to {block.inner}, no multiple")
        if kernel % 2 == 0:
            self.problems.append(f"{place} has an even kernel ({kernel})")
        if _reduction(block) is None:
            self.problems.append(
                f"{place} has a gate of {reduced} channels on {block.inner}, no whole fraction"
            )
        return block


def _read_shape(reader: _Reader, strides: Sequence[int] | None) -> dict[str, Any]:
    """Fields of the configuration; incomplete where the reader found problems."""
    stem_width, leads, _ = reader.shape("initial_conv.0.weight")
    blocks = reader.blocks(stem_width)
    width = reader.shape("final_conv.weight")[0]
    if reader.problems:
        return {}
    for name, shape in VARIANTS.items():
        same = (stem_width, width) == (shape["stem_width"], shape["width"])
        if strides is None and same and _expected(shape) == blocks:
            return {"variant": name, "leads": leads}
    return {
        "variant": "custom",
        "leads": leads,
        "stem_width": stem_width,
        "stages": _stages(blocks, strides, reader.where),
        "width": width,
    }


def _nearest_variant(state: State) -> str | None:
    """The named variant that shares most names and shapes, if it shares four fifths."""
    found = {(name, tuple(value.shape)) for name, value in state.items()}
    count = len({name.split(".")[1] for name in state if name.startswith("features.")})
    scores = {"": 0.0}
    for variant, fields in VARIANTS.items():
        if sum(stage.depth for stage in fields["stages"]) != count:
            continue
        architecture = Architecture(EfficientNetConfig.model_validate({"variant": variant}))
        shapes = architecture.shapes()
        links = torch_names.links_of(architecture)
        wanted = {(link.torch, link.torch_shape(shapes[link.jax])) for link in links}
        scores[variant] = len(wanted & found) / len(wanted | found)
    best = max(scores, key=lambda variant: scores[variant])
    return best if scores[best] >= 0.8 else None


def _reduction(block: _Block) -> int | None:
    """The reduction that gives the gate its width, the usual 4 first: others mean the same."""
    for reduction in (4, *range(1, block.inner + 1)):
        if max(block.inner // reduction, 1) == block.reduced:
            return reduction
    return None


def _stages(blocks: list[_Block], strides: Sequence[int] | None, where: str) -> list[Stage]:
    """Runs of blocks of one type, width and kernel, with a stride each."""
    runs = [
        list(run) for _, run in itertools.groupby(blocks, key=lambda b: (b.kind, b.width, b.kernel))
    ]
    given = STRIDES if strides is None else tuple(strides)
    if len(runs) != len(given):
        found = "; ".join(f"{len(r)} {r[0].kind} {r[0].width} x {r[0].kernel}" for r in runs)
        raise UserError(
            f"{where}: its blocks are those of no named variant and form {len(runs)} runs of one "
            f"type, width and kernel ({found}), but there are {len(given)} strides; strides leave "
            "no trace in weights, so one a run must be given."
        )
    stages = []
    for run, stride in zip(runs, given, strict=True):
        reductions = {_reduction(block) for block in run}
        expansions = {block.expansion for block in run}
        if len(reductions) > 1 or len(expansions) > 1:
            raise UserError(
                f"{where}: the {len(run)} {run[0].kind} blocks of width {run[0].width} expand by "
                f"{sorted(expansions)} and their gates reduce by {sorted(map(str, reductions))}; a "
                "stage has one of each. Nothing was loaded."
            )
        stages.append(
            Stage(
                run[0].kind,
                run[0].width,
                len(run),
                run[0].kernel,
                stride,
                expansions.pop(),
                reductions.pop() or 4,
            )
        )
    return stages


def _expected(shape: Mapping[str, Any]) -> list[_Block]:
    """The blocks of a named variant, as its tensors would say."""
    blocks, n_in = [], shape["stem_width"]
    for stage in shape["stages"]:
        for _ in range(stage.depth):
            inner = stage.width if stage.block == "fused" else n_in * stage.expansion
            reduced = max(inner // stage.reduction, 1)
            blocks.append(_Block(stage.block, n_in, inner, stage.width, stage.kernel, reduced))
            n_in = stage.width
    return blocks
