"""The WCR model and objective against the stored numbers of the PyTorch reference.

The reference ran in float32 with random weights; `golden/wcr/small_a` holds its parameters,
inputs, activations, losses and gradients. Tolerances, relative to the largest entry of an array:
2e-5 forward, 1e-3 gradients.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from safetensors.numpy import load_file
from wcr_small import ZERO_GRADIENT, assert_close, assert_gradients, module_of

from deepecg_jax.bundle.architecture import Architecture, HeadConfig
from deepecg_jax.bundle.weights import flatten, nest
from deepecg_jax.config import OptimizerConfig
from deepecg_jax.interop import torch_names
from deepecg_jax.models.blocks.transformer import transformer_layer
from deepecg_jax.models.pooling import mean_pool
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.cmsc import cmsc_loss
from deepecg_jax.objectives.config import CompatConfig
from deepecg_jax.objectives.masking.selection import take_tokens
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.objectives.wcr.config import WCRObjectiveConfig
from deepecg_jax.objectives.wcr.contrastive import count_negatives, masked_token_infonce
from deepecg_jax.objectives.wcr.quantizer import gumbel_temperature
from deepecg_jax.training.optimizer import make_optimizer

pytestmark = pytest.mark.real


class Case(NamedTuple):
    """A module split into graph and weights, its links, and the golden arrays."""

    graph: Any
    pure: Any
    links: list[torch_names.Link]
    arrays: dict[str, np.ndarray]
    signal: np.ndarray  # (B, 1250, 12)
    hidden: np.ndarray  # (B, M) masked tokens


@pytest.fixture(scope="module")
def pretrain(folder: Path, config: WCRConfig, objective: WCRObjectiveConfig) -> Case:
    abstract = nnx.eval_shape(lambda: Pretrainer(config, objective, jax.random.key(0)))
    graph = nnx.split(abstract)
    pure = nnx.to_pure_dict(graph[1])
    shapes = {name: leaf.shape for name, leaf in flatten(pure).items()}
    links = torch_names.pretrainer_links(config, objective)
    weights = torch_names.to_jax(load_file(folder / "params.safetensors"), links, shapes)
    arrays = dict(np.load(folder / "pretrain.npz"))
    hidden = np.stack([np.flatnonzero(row) for row in arrays["mask_indices"]])
    return Case(graph, nest(weights, pure), links, arrays, _segments(folder, arrays), hidden)


def _segments(folder: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Section 1 of the reference: halves of the records with their surviving leads."""
    inputs = np.load(folder.parent / "inputs.npz")
    parts = [
        inputs["ecg"][record, :, part * 1250 : (part + 1) * 1250] * survivors[:, None]
        for record, part, survivors in zip(
            arrays["id"], arrays["segment"], arrays["lead_survivors"], strict=True
        )
    ]
    return np.stack(parts).transpose(0, 2, 1)


def _counts(arrays: dict[str, np.ndarray], masked: int) -> jax.Array:
    """`neg_idxs` (B, M * N) into the flattened batch -> (B, M, M) counts."""
    flat = arrays["neg_idxs"]
    rows = len(flat)
    draws = flat.reshape(rows, masked, -1) - masked * np.arange(rows)[:, None, None]
    return count_negatives(jnp.asarray(draws), masked)


def test_parameter_counts_of_the_published_sizes(folder: Path) -> None:
    counts = json.loads((folder.parent / "param_counts.json").read_text())
    base = WCRConfig(size="base")

    def count(module: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.split(module)[1])))

    pretrainer = nnx.eval_shape(lambda: Pretrainer(base, WCRObjectiveConfig(), jax.random.key(0)))
    assert count(pretrainer) == counts["wcr_base_pretraining"]["total"]
    shapes = Architecture(base, HeadConfig(kind="linear"), 77).shapes()
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    assert total - base.width == 90_432_461  # fairseq drops the mask embedding in fine-tuning


def test_weights_survive_both_directions_bit_exactly(pretrain: Case, folder: Path) -> None:
    state = load_file(folder / "params.safetensors")
    back = torch_names.to_torch(flatten(pretrain.pure), pretrain.links)
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert value.tobytes() == back[name].tobytes(), name


@pytest.mark.slow
def test_encoder_activations(pretrain: Case, config: WCRConfig) -> None:
    arrays = pretrain.arrays
    encoder = module_of(pretrain.graph, pretrain.pure).encoder
    signal, masked = jnp.asarray(pretrain.signal), jnp.asarray(arrays["mask_indices"])
    features = encoder.stem(signal)
    assert_close(features.transpose(0, 2, 1), arrays["conv_features"], "conv_features")
    normed = encoder.features_norm(features)
    assert_close(normed, arrays["features_ln"], "features_ln")
    projected = encoder.projection(normed)
    assert_close(projected, arrays["post_proj"], "post_proj")
    x = jnp.where(masked[..., None], encoder.mask_embedding[...], projected)
    assert_close(x, arrays["masked_x"], "masked_x")
    position = encoder.positional(x)
    assert_close(position, arrays["conv_pos_out"], "conv_pos_out")
    x = encoder.transformer.norm(x + position)
    assert_close(x, arrays["encoder_layer_norm_out"], "encoder_layer_norm_out")
    stacked = {
        name: value[...]
        for name, value in vars(encoder.transformer).items()
        if isinstance(value, nnx.Param)
    }
    for i in range(config.layers):
        layer = {name: value[i] for name, value in stacked.items()}
        x = transformer_layer(x, layer, config, None, None)
        assert_close(x, arrays[f"layer{i}_out"], f"layer{i}_out")


def test_encoder_output(pretrain: Case) -> None:
    arrays = pretrain.arrays
    encoder = module_of(pretrain.graph, pretrain.pure).encoder
    signal = jnp.asarray(pretrain.signal)
    features = encoder.features(signal, gradient=0.1)
    output = encoder.context(features, hidden=jnp.asarray(arrays["mask_indices"]))
    assert_close(output.tokens, arrays["encoder_out"], "encoder_out")
    assert_close(features.values, arrays["features_ln"], "features_ln")
    assert_close(features.penalty, arrays["features_pen"], "features_pen")
    assert_close(encoder(signal).tokens, arrays["encoder_out_nomask"], "encoder_out_nomask")


@pytest.mark.slow
def test_padding(pretrain: Case, folder: Path) -> None:
    arrays = np.load(folder / "padding.npz")
    ecg = np.load(folder.parent / "inputs.npz")["ecg"]
    lengths = arrays["lengths"]
    signal = np.zeros((len(lengths), 1250, 12), np.float32)
    for i, length in enumerate(lengths):
        signal[i, :length] = ecg[i, :, :length].T
    encoder = module_of(pretrain.graph, pretrain.pure).encoder
    output = encoder(jnp.asarray(signal), valid_samples=jnp.asarray(lengths))
    assert (np.asarray(output.padding) == arrays["padding_mask_tokens"]).all()
    keep = ~arrays["padding_mask_tokens"][..., None]
    assert_close(output.tokens * keep, arrays["encoder_out"] * keep, "encoder_out of real tokens")
    assert_close(mean_pool(output.tokens, output.padding), arrays["pooled"], "pooled")


def _objective(
    pretrain: Case,
    settings: WCRObjectiveConfig,
    arrays: dict[str, np.ndarray],
    noise: Any,
    temperature: float,
) -> Any:
    """The SUM loss of the reference and its parts, as a function of the parameters."""
    hidden = jnp.asarray(pretrain.hidden)
    counts = _counts(arrays, hidden.shape[1])
    patient = jnp.asarray(arrays["patient_id"])[::2]
    size = float(arrays["sample_size"])

    def objective(pure: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        model = module_of(pretrain.graph, pure)
        features = model.encoder.features(jnp.asarray(pretrain.signal), gradient=0.1)
        masked = jnp.asarray(arrays["mask_indices"])
        output = model.encoder.context(features, hidden=masked)
        heads = model.heads
        quantized = heads.quantizer(take_tokens(features.values, hidden), temperature, noise)
        target = heads.project_target(quantized.vectors)
        context = heads.project_context(take_tokens(output.tokens, hidden))
        nce = masked_token_infonce(context, target, quantized.codes, counts, 0.1)
        n_codewords = settings.codebook_groups * settings.codewords
        diversity = (n_codewords - quantized.probability_perplexity) / n_codewords
        pooled = mean_pool(output.tokens, None)
        cmsc = cmsc_loss(pooled[::2], pooled[1::2], patient, 0.1)
        loss = nce.loss + 0.1 * diversity + 10.0 * features.penalty + cmsc
        parts = {
            "q_in": take_tokens(features.values, hidden),
            "q_codes": quantized.codes,
            "q_x": quantized.vectors,
            "y": target,
            "x_final": context,
            "prob_perplexity": quantized.probability_perplexity,
            "code_perplexity": quantized.code_perplexity,
            "diversity": diversity,
            "features_pen": features.penalty,
            "cmsc_pooled": pooled,
            "cmsc_loss": cmsc,
            "loss_infonce_sum": nce.loss * size,
            "accuracy": nce.accuracy,
        }
        return loss * size, parts

    return objective


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses_and_gradients(
    pretrain: Case, folder: Path, objective: WCRObjectiveConfig, mode: str
) -> None:
    arrays, noise, temperature = dict(pretrain.arrays), None, 1.0
    if mode == "train":
        arrays |= dict(np.load(folder / "pretrain_train_mode.npz"))
        noise = jnp.asarray(arrays["gumbel_noise"]).reshape(
            *pretrain.hidden.shape, objective.codebook_groups, objective.codewords
        )
        temperature = float(arrays["temp"])
    loss_of = _objective(pretrain, objective, arrays, noise, temperature)
    (loss, parts), gradient = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(pretrain.pure)
    assert (np.asarray(parts["q_codes"]) == arrays["q_codes"]).all()
    checked = ["q_x", "prob_perplexity", "code_perplexity", "loss_infonce_sum"]
    if mode == "eval":
        checked += ["q_in", "y", "x_final", "diversity", "cmsc_pooled", "cmsc_loss"]
        assert float(parts["accuracy"]) == pytest.approx(arrays["n_correct"] / arrays["n_count"])
    for name in checked:
        assert_close(parts[name], arrays[name], name)
    assert_close(loss, arrays["loss_total"], "loss_total")
    found = torch_names.to_torch(flatten(jax.tree.map(np.asarray, gradient)), pretrain.links)
    name = "grads_eval" if mode == "eval" else "grads_train_mode"
    expected = load_file(folder / f"{name}.safetensors")
    assert_gradients(found, expected)
    norm = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in found.values()))
    assert norm == pytest.approx(float(arrays["grad_norm_of_total"]), rel=1e-4)


@pytest.mark.slow
def test_three_adam_steps(pretrain: Case, folder: Path, objective: WCRObjectiveConfig) -> None:
    """Losses before and after each step, and the weights after three, with fairseq's epsilon."""
    stored = np.load(folder / "adam.npz")
    arrays, size = pretrain.arrays, float(pretrain.arrays["sample_size"])
    loss_of = _objective(pretrain, objective, arrays, None, 1.0)
    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    settings = OptimizerConfig(
        learning_rate=float(stored["lr"]),
        beta1=float(stored["betas"][0]),
        beta2=float(stored["betas"][1]),
        epsilon=float(stored["eps"]),
        weight_decay=float(stored["weight_decay"]),
    )
    schedule = optax.constant_schedule(settings.learning_rate)
    ends = {}
    for epsilon in ("uncorrected", "corrected"):
        compat = CompatConfig(adam_epsilon=epsilon)
        optimizer = make_optimizer(settings, schedule, None, compat)
        params = jax.tree.map(jnp.asarray, pretrain.pure)
        state = optimizer.init(params)
        for number in range(4):
            (loss, parts), gradient = step(params)
            if epsilon == "uncorrected":
                weighted = {"diversity": 0.1, "features_pen": 10.0, "cmsc_loss": 1.0}
                found = [loss, parts["loss_infonce_sum"]]
                found += [weight * parts[name] * size for name, weight in weighted.items()]
                for i, value in enumerate(found):
                    assert_close(value, stored["losses"][number, i], f"step {number}, loss {i}")
            if number < 3:
                gradient = jax.tree.map(lambda g: g / size, gradient)
                updates, state = optimizer.update(gradient, state, params)
                params = optax.apply_updates(params, updates)
        flat = flatten(jax.tree.map(np.asarray, params))
        ends[epsilon] = torch_names.to_torch(flat, pretrain.links)
    expected = load_file(folder / "params_after_3_adam_steps.safetensors")
    start = load_file(folder / "params.safetensors")
    # a gradient that is rounding noise becomes a step of the full learning rate: leave it out
    names = [name for name in expected if not name.endswith(ZERO_GRADIENT)]
    for name in names:
        error = np.abs(ends["uncorrected"][name] - expected[name]).max()
        assert error < 2e-6, f"{name}: {error:.1e}"
    moved = max(np.abs(expected[name] - start[name]).max() for name in names)
    assert moved > 1e-3
    # the two epsilons can be told apart, so the first comparison means something
    apart = max(np.abs(ends["corrected"][name] - expected[name]).max() for name in names)
    assert apart > 1e-5


def test_gumbel_temperature(folder: Path) -> None:
    arrays = np.load(folder / "pretrain_train_mode.npz")
    temperature = gumbel_temperature(int(arrays["num_updates"]), 2.0, 0.5, 0.999995)
    assert_close(temperature, arrays["temp"], "temp")


def test_logits_against_all_negatives(pretrain: Case) -> None:
    """The stored (1 + N, B, M) logits, from the stored projections."""
    arrays = pretrain.arrays
    masked = pretrain.hidden.shape[1]
    infonce = masked_token_infonce(
        jnp.asarray(arrays["x_final"]),
        jnp.asarray(arrays["y"]),
        jnp.asarray(arrays["q_codes"]),
        _counts(arrays, masked),
        0.1,
    )
    logits = arrays["logits_x"].astype(np.float64)
    peak = logits.max(0)
    total = np.log(np.exp(logits - peak).sum(0)) + peak
    assert_close(infonce.loss, (total - logits[0]).mean(), "cross-entropy of logits_x")
