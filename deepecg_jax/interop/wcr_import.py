"""A WCR checkpoint of fairseq-signals: its architecture, inferred from tensors and stored config.

Widths, kernels, groups, codewords and labels are read off the tensors. Attention heads, pre- or
post-LN and the strides of the stem leave no trace there, so the stored config must say them.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.errors import UserError
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig

State = Mapping[str, np.ndarray]
_STEM = "feature_extractor.conv_layers"
_QUERY, _BLOCK = "query_tokens", "cross_attention_block"
# fairseq-signals' key -> ours, where the tensors decide and the config is only checked
_CHECKED = {
    "in_d": "leads",
    "encoder_embed_dim": "width",
    "encoder_layers": "layers",
    "encoder_ffn_embed_dim": "ffn_width",
    "conv_pos": "positional_kernel",
    "conv_pos_groups": "positional_groups",
    "conv_bias": "conv_bias",
}
_CHECKED_QUANTIZER = {"latent_groups": "codebook_groups", "latent_vars": "codewords"}
_DROPOUTS = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "dropout_input",
)


@dataclass(frozen=True)
class Inferred:
    """What a checkpoint is: the architecture, the objective if it holds its heads, its tensors.

    ``state`` carries canonical names: an attentive head's tensors under ``proj.``.
    """

    architecture: Architecture
    objective: WCRObjectiveConfig | None
    state: dict[str, np.ndarray]


def infer(state: State, config: Mapping[str, Any], where: str) -> Inferred:
    """The architecture of a checkpoint.

    state: tensors by the names of ``Wav2Vec2CMSCModel``, or of
        ``ECGTransformerClassificationModel`` (``encoder.`` and ``proj.``).
    config: the ``model`` section of the stored config; it must hold ``encoder_attention_heads``,
        ``layer_norm_first`` and, for stems whose strides differ from their kernels,
        ``conv_feature_layers``.

    Raises UserError if the tensors are no WCR model, the config is silent about what tensors
    cannot tell, or the two contradict each other.
    """
    classifier = f"encoder.{_STEM}.0.0.weight" in state
    prefix = "encoder." if classifier else ""
    if f"{prefix}{_STEM}.0.0.weight" not in state:
        names = ", ".join(sorted(state)[:3])
        raise UserError(
            f"{where} is no WCR checkpoint: it has no tensor {_STEM}.0.0.weight; its tensors are "
            f"{names} ..."
        )
    encoder = _Reader(state, prefix, where)
    values: dict[str, Any] = _shape_of_encoder(encoder, config, where)
    sizes: dict[str, Any] | None = None
    if f"{prefix}quantizer.vars" in state:
        sizes = _shape_of_quantizer(encoder)
        _check_against(config, _CHECKED_QUANTIZER, sizes, where)
        name = "dropout_features"
        sizes |= {name: float(config[name])} if name in config else {}
    values |= {name: float(config[name]) for name in _DROPOUTS if name in config}
    try:
        model = WCRConfig(**values)
        objective = None if sizes is None else WCRObjectiveConfig(**sizes)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(f"{where} describes an impossible encoder: {problem}.") from error
    renamed = dict(state)
    head, n_labels = None, 0
    if classifier:
        head, n_labels, renamed = _head(renamed, model, where)
        stored = config.get("num_labels")
        if stored is not None and int(stored) != n_labels:
            raise UserError(f"{where}: its config says {stored} labels, its head has {n_labels}.")
    return Inferred(Architecture(model, head, n_labels), objective, renamed)


class _Reader:
    """Shapes by name; a missing tensor is a sentence."""

    def __init__(self, state: State, prefix: str, where: str):
        self._state, self._prefix, self._where = state, prefix, where

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        full = self._prefix + name
        if full not in self._state:
            raise UserError(
                f"{self._where}: the tensor {full} is missing, so the architecture is unknown; "
                "nothing was loaded."
            )
        shape = self._state[full].shape
        if len(shape) != rank:
            raise UserError(f"{self._where}: {full} is {shape}, expected {rank} axes.")
        return shape

    def has(self, name: str) -> bool:
        return self._prefix + name in self._state

    def count(self, pattern: str) -> int:
        """Number of consecutive ``pattern % 0``, ``pattern % 1`` ... that exist."""
        number = 0
        while self.has(pattern.format(number)):
            number += 1
        return number


def _shape_of_encoder(reader: _Reader, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    stem = [
        reader.shape(f"{_STEM}.{i}.0.weight", 3)
        for i in range(reader.count(_STEM + ".{}.0.weight"))
    ]
    direction = reader.shape("conv_pos.pos_conv.0.weight_v", 3)
    ffn_width, width = reader.shape("encoder.layers.0.fc1.weight", 2)
    missing = [key for key in ("encoder_attention_heads", "layer_norm_first") if key not in config]
    if missing:
        raise UserError(
            f"{where} holds no config that says {' and '.join(missing)}, which tensors do not "
            "show; give the model's config with --config FILE.json."
        )
    if direction[1] < 1 or width % direction[1]:
        raise UserError(f"{where}: conv_pos.pos_conv.0.weight_v is {direction} at width {width}.")
    values = {
        "leads": stem[0][1],
        "conv_layers": _stem_layers(stem, config, where),
        "conv_bias": reader.has(f"{_STEM}.0.0.bias"),
        "width": width,
        "layers": reader.count("encoder.layers.{}.fc1.weight"),
        "ffn_width": ffn_width,
        "positional_kernel": direction[2],
        "positional_groups": width // direction[1],
        "heads": int(config["encoder_attention_heads"]),
        "layer_norm_first": bool(config["layer_norm_first"]),
    }
    if str(config.get("extractor_mode", "default")) != "default":
        raise UserError(
            f"{where}: extractor_mode {config['extractor_mode']!r} is not supported, only default."
        )
    _check_against(config, _CHECKED, values, where)
    return values


def _shape_of_quantizer(reader: _Reader) -> dict[str, Any]:
    _, words, size = reader.shape("quantizer.vars", 3)
    final_dim, code_dim = reader.shape("project_q.weight", 2)
    groups = max(code_dim // max(size, 1), 1)
    return {
        "codebook_groups": groups,
        "codewords": words // groups,
        "final_dim": final_dim,
        "latent_dim": 0 if code_dim == final_dim else code_dim,
    }


def _stem_layers(
    stem: list[tuple[int, ...]], config: Mapping[str, Any], where: str
) -> list[tuple[int, int, int]]:
    """(width, kernel, stride); without a config the stride is the kernel, as published."""
    text = config.get("conv_feature_layers")
    if text is None:
        return [(shape[0], shape[2], shape[2]) for shape in stem]
    layers = parse_layers(str(text), where)
    found = [(shape[0], shape[2]) for shape in stem]
    if [layer[:2] for layer in layers] != found:
        raise UserError(
            f"{where}: its config says conv_feature_layers {text}, its tensors are (width, kernel) "
            f"{found}."
        )
    return layers


def parse_layers(text: str, where: str) -> list[tuple[int, int, int]]:
    """``"[(256, 2, 2)] * 4"`` -> four (width, kernel, stride); no expression is evaluated."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Tuple):
            return tuple(value(item) for item in node.elts)
        if isinstance(node, ast.List):
            return [value(item) for item in node.elts]
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
                return left + right
            if isinstance(node.op, ast.Mult) and isinstance(left, list) and right in range(1, 65):
                return left * right
        raise ValueError(text)

    try:
        layers = value(ast.parse(text.strip(), mode="eval").body)
        if not layers or any(
            not isinstance(layer, tuple) or len(layer) != 3 or min(layer) < 1 for layer in layers
        ):
            raise ValueError(text)
    except (SyntaxError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{where}: conv_feature_layers {text[:80]!r} is not a list of (width, kernel, stride)."
        ) from error
    return layers


def _check_against(
    config: Mapping[str, Any], keys: Mapping[str, str], values: Mapping[str, Any], where: str
) -> None:
    contradictions = [
        f"{key} is {config[key]} in the config, {values[name]} in the tensors"
        for key, name in keys.items()
        if key in config and config[key] != values[name]
    ]
    if contradictions:
        raise UserError(f"{where} contradicts its own config: {'; '.join(contradictions)}.")


def _head(
    state: dict[str, np.ndarray], model: WCRConfig, where: str
) -> tuple[HeadConfig, int, dict[str, np.ndarray]]:
    """The head, its number of labels, and the tensors with the head under canonical names."""
    if "proj.weight" in state:
        return HeadConfig(kind="linear"), int(state["proj.weight"].shape[0]), state
    queries = [name for name in state if name.endswith(_QUERY) and not name.startswith("encoder.")]
    if len(queries) != 1:
        others = [name for name in state if not name.startswith("encoder.")]
        raise UserError(
            f"{where} has neither a plain head (proj.weight) nor an attentive one ({_QUERY}); "
            f"outside its encoder it has {', '.join(others[:4]) or 'nothing'}."
        )
    # the attentive classifier of V-JEPA, wherever it hangs: its block, its query, a linear layer
    pooler = queries[0].removesuffix(_QUERY)
    renamed = {}
    for name, value in state.items():
        if name.startswith("encoder."):
            renamed[name] = value
        elif name.startswith(pooler):
            renamed["proj.pooler." + name.removeprefix(pooler)] = value
        else:
            renamed["proj.linear." + name.rpartition(".")[2]] = value
    if len(renamed) != len(state) or "proj.linear.weight" not in renamed:
        raise UserError(f"{where}: its attentive head has no single linear layer after {_BLOCK}.")
    head = HeadConfig(kind="attention", heads=model.heads)
    return head, int(renamed["proj.linear.weight"].shape[0]), renamed
