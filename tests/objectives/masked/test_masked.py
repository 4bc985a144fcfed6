"""Masked autoencoding: what is hidden, what counts, against numpy; what it refuses; it learns."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from learning import learned, mean_of
from patch_toy import OnlyDrops, OnlyHides, PatchConfig, PatchEncoder
from pydantic import ValidationError

from deepecg_jax.errors import UserError
from deepecg_jax.models.efficientnet.config import EfficientNetConfig
from deepecg_jax.models.encoder import EncoderConfig, Features
from deepecg_jax.models.families import FAMILIES
from deepecg_jax.models.wcr.config import WCRConfig
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.kinds import objective_config
from deepecg_jax.objectives.masked.config import MaskedObjectiveConfig
from deepecg_jax.objectives.masked.heads import MaskedHeads
from deepecg_jax.objectives.masked.loss import by_time
from deepecg_jax.objectives.masked.mask import hidden_count, lead_mask, shown_count, token_mask
from deepecg_jax.objectives.objective import Draw
from deepecg_jax.objectives.pretrainer import Pretrainer

KEY = jax.random.key(7)
LEADS = 4


def made(config: EncoderConfig, **settings: Any) -> tuple[Pretrainer, MaskedObjectiveConfig]:
    objective = MaskedObjectiveConfig(**{"decoder_layers": 1, **settings})
    objective.check(config)
    return Pretrainer(config, objective, jax.random.key(0)), objective


def batch_of(rows: int = 3, samples: int = 200) -> dict[str, jax.Array]:
    signal = 0.5 * jax.random.normal(jax.random.key(1), (rows, samples, LEADS))
    return {"signal": signal, "lead_mask": jnp.ones((rows, LEADS), bool)}


@pytest.fixture
def results(monkeypatch) -> list[jax.Array]:
    """What decoders give from now on."""
    found, decoded = [], MaskedHeads.decoded

    def kept(heads: MaskedHeads, *args: Any) -> jax.Array:
        found.append(decoded(heads, *args))
        return found[-1]

    monkeypatch.setattr(MaskedHeads, "decoded", kept)
    return found


def loss_of(module, objective, batch, dtype: Any = jnp.float32):
    draw = Draw(KEY, jnp.int32(0))
    return objective.loss(module.encoder, module.heads, batch, draw, dtype)


def drawn(objective, batch, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Hidden leads (B, L), and where tokens are hidden (B, n, L)."""
    leads = lead_mask(named_key(KEY, "leads"), batch["lead_mask"], groups, objective)
    tokens = token_mask(named_key(KEY, "tokens"), leads, 20, groups, objective)
    by_group = np.asarray(tokens).reshape(3, groups, 20).transpose(0, 2, 1)
    return np.asarray(leads), np.repeat(by_group, LEADS // groups, axis=2)


@pytest.mark.parametrize(("total", "share", "hidden"), [(30, 0.75, 23), (12, 0.5, 6), (4, 0.01, 1)])
def test_hidden_counts(total, share, hidden):
    """ST-MEM keeps int(30 x 0.25) = 7."""
    assert hidden_count(total, share) == hidden
    assert hidden_count(4, 0.99) == 3 and hidden_count(10, 0.9) == 9


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("hide", ["time", "leads", "both", "tokens"])
def test_what_is_hidden(hide, groups):
    objective = MaskedObjectiveConfig(hide=hide, share=0.6, lead_share=0.5, span=1)
    recorded = jnp.ones((50, 4), bool)
    leads = lead_mask(jax.random.key(0), recorded, groups, objective)
    hidden = token_mask(jax.random.key(1), leads, 20, groups, objective)
    leads, hidden = np.asarray(leads), np.asarray(hidden).reshape(50, groups, 20)
    assert ((~hidden).sum((1, 2)) == shown_count(20, groups, objective)).all()
    assert (leads.sum(1) == (2 if hide in ("leads", "both") else 0)).all()
    if hide == "tokens":
        assert (hidden.sum(2) == 12).all()
        assert groups == 1 or (hidden[:, 0] != hidden[:, 1]).any()
        return
    # whole leads where tokens are of leads, and the same times in all others
    of_leads = leads[..., None] if groups > 1 else np.zeros((50, 1, 1), bool)
    times = hidden[~of_leads.repeat(20, 2)].reshape(50, -1, 20)
    assert (hidden == (of_leads | times[:, :1])).all()
    assert (times[:, 0].sum(1) == (0 if hide == "leads" else 12)).all()


def test_spans_of_hidden_times():
    objective = MaskedObjectiveConfig(hide="time", share=0.5, span=5)
    hidden = token_mask(jax.random.key(1), jnp.zeros((40, 4), bool), 40, 1, objective)
    runs = np.abs(np.diff(np.pad(np.asarray(hidden).astype(int), ((0, 0), (1, 1))), axis=1)).sum(1)
    assert (np.asarray(hidden).sum(1) == 20).all() and (runs <= 2 * 5).all()


CASES = [
    (OnlyDrops, True, {"hide": "tokens", "target": "millivolts", "error": "l1"}),
    (OnlyDrops, True, {"hide": "both", "share": 0.5}),
    (OnlyHides, False, {"hide": "both", "target": "lead", "decoder_layers": 0}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "by_lead", "settings"), CASES, ids=lambda x: str(x)[:60])
def test_hidden_samples_count_and_nothing_else_and_are_not_seen(family, by_lead, settings, results):
    """The loss against numpy, patch by patch; what the decoder gives has no slope there."""
    config = family(leads=LEADS, by_lead=by_lead)
    module, objective = made(config, **settings)
    batch = batch_of()
    batch["lead_mask"] = batch["lead_mask"].at[1, 2].set(False)
    batch["valid_samples"] = jnp.array([200, 200, 133])
    batch["signal"] = batch["signal"].at[2, 133:].set(0.0)

    def run(signal: jax.Array) -> tuple[jax.Array, Any]:
        loss, metrics = loss_of(module, objective, {**batch, "signal": signal})
        return jnp.sum(results[-1] ** 2), (loss, metrics, results[-1])

    (_, (loss, metrics, decoded)), slope = jax.jit(jax.value_and_grad(run, has_aux=True))(
        batch["signal"]
    )
    leads, tokens = drawn(objective, batch, config.token_groups)
    there = (
        np.asarray(batch["lead_mask"])[:, None]
        & (np.arange(20) < np.array([[20], [20], [13]]))[..., None]
    )
    by_patch = np.abs(slope).reshape(3, 20, 10, LEADS).max(2)
    hidden = leads[:, None] | tokens
    assert hidden.any() and (by_patch[hidden] == 0).all() and (by_patch[~hidden & there] > 0).all()

    patches = np.asarray(by_time(decoded, config.token_groups, 20, 10))
    errors, squares = [], []
    for row, valid in enumerate(np.asarray(batch["valid_samples"])):
        for lead in np.flatnonzero(batch["lead_mask"][row]):
            whole = np.asarray(batch["signal"])[row, :, lead]
            for time in np.flatnonzero(hidden[row, : valid // 10, lead]):
                target = whole[10 * time : 10 * time + 10]
                if objective.target == "patch":
                    target = (target - target.mean()) / np.sqrt(target.var() + 1e-6)
                if objective.target == "lead":
                    recorded = whole[:valid]
                    target = (target - recorded.mean()) / recorded.std()
                off = np.abs(patches[row, time, :, lead] - target)
                errors.append((off if objective.error == "l1" else off**2).mean())
                squares.append((off**2).mean())
    assert len(errors) > 20
    expected = {"loss": np.mean(errors)}
    if objective.target == "millivolts":
        expected["rmse_millivolts"] = np.sqrt(np.mean(squares))
    assert metrics.keys() == expected.keys() and float(loss) == float(metrics["loss"])
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4)


def test_patches_of_leads_come_back_in_their_order():
    decoded = jnp.arange(2 * 6 * 10.0).reshape(2, 6, 10)  # 3 times, 2 groups of 2 leads, 5 samples
    found = by_time(decoded, 2, 3, 5)
    assert found.shape == (2, 3, 5, 4)
    for time, sample, lead in [(0, 0, 0), (2, 4, 3), (1, 2, 2)]:
        token, value = 3 * (lead // 2) + time, 2 * sample + lead % 2
        assert found[1, time, sample, lead] == decoded[1, token, value]


@pytest.mark.slow
def test_gradients_are_finite_in_bfloat16():
    module, objective = made(OnlyDrops(leads=LEADS, by_lead=True), hide="tokens")
    batch = batch_of()
    batch["signal"] = batch["signal"].at[0].set(0.0)  # a flat ECG
    graph, weights = nnx.split(module, nnx.Param)

    def value(weights: Any) -> jax.Array:
        return loss_of(nnx.merge(graph, weights), objective, batch, jnp.bfloat16)[0]

    loss, slope = jax.jit(jax.value_and_grad(value))(weights)
    assert np.isfinite(loss) and loss.dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


class RoundsUp(PatchConfig):
    """Can hide no tokens, and makes one of the rest of a signal."""

    HIDES_TOKENS: ClassVar[bool] = False
    DROPS_TOKENS: ClassVar[bool] = False

    def build(self, key: jax.Array) -> PatchEncoder:
        class Padded(PatchEncoder):
            def features(self, signal, **options) -> Features:
                return super().features(jnp.pad(signal, ((0, 0), (0, 7), (0, 0))), **options)

        return Padded(self, key)


def test_hidden_leads_of_an_encoder_that_needs_all_tokens():
    module, objective = made(RoundsUp(leads=LEADS), hide="leads", decoder_layers=0, target="lead")
    batch = batch_of(samples=203)
    leads = np.asarray(lead_mask(named_key(KEY, "leads"), batch["lead_mask"], 1, objective))
    run = jax.jit(lambda signal: loss_of(module, objective, {**batch, "signal": signal})[0])
    found = float(run(batch["signal"]))
    # of hidden leads only the targets know, and they are standardised
    louder = batch["signal"] * jnp.where(leads[:, None], 2.0, 1.0)
    assert found == pytest.approx(float(run(louder)), rel=1e-4)
    other = batch["signal"] * jnp.where(leads[:, None], 1.0, 2.0)
    assert found != pytest.approx(float(run(other)), rel=1e-4)


def test_what_is_left_open_suits_the_encoder():
    def found(encoder: EncoderConfig, **given: Any) -> tuple[Any, ...]:
        objective = objective_config({"kind": "masked", **given}, encoder)
        objective.check(encoder)
        values = objective.model_dump()
        return tuple(values[name] for name in ("hide", "span", "target", "decoder_layers"))

    assert found(OnlyDrops(by_lead=True)) == ("tokens", 8, "patch", 4)
    assert found(OnlyHides()) == ("time", 8, "patch", 0)
    assert found(WCRConfig(size="small")) == ("time", 5, "patch", 0)
    fine = WCRConfig(size="small", conv_layers=((64, 2, 2),))
    assert found(fine) == ("time", 38, "lead", 0)
    assert found(EfficientNetConfig()) == ("leads", 1, "patch", 0)
    assert found(OnlyDrops(), hide="leads", decoder_layers=2) == ("leads", 1, "patch", 2)


def test_what_it_refuses():
    efficientnet, drops = EfficientNetConfig(), OnlyDrops()
    fine = WCRConfig(size="small", conv_layers=((64, 2, 2),))
    for settings, encoder, message in [
        ({}, efficientnet, "hides tokens .* model.kind=wcr.*, or objective.hide=leads, which"),
        ({"hide": "tokens"}, OnlyHides(), "token of model.kind=patches is of all leads; choose"),
        ({"hide": "leads"}, OnlyHides(leads=1), "hides leads of several, but model.leads=1"),
        ({}, fine, "has tokens of 2 samples; choose objective.target=lead"),
        ({"decoder_layers": 0}, drops, "model.kind=patches makes none of what is hidden"),
        ({"decoder_heads": 3}, drops, "decoder_heads=3 must divide the decoder's width, 4"),
    ]:
        with pytest.raises(UserError, match=message):
            MaskedObjectiveConfig(**settings).check(encoder)
    with pytest.raises(ValidationError, match="span=3 is of hidden times, but hide=leads"):
        MaskedObjectiveConfig(hide="leads", span=3)
    with pytest.raises(UserError, match="the encoder makes 1 tokens of an ECG"):
        token_mask(KEY, jnp.zeros((2, 4), bool), 1, 1, MaskedObjectiveConfig())


def test_its_products():
    config = PatchConfig(leads=12, width=8, by_lead=True)
    objective = MaskedObjectiveConfig(hide="tokens", share=0.75, decoder_layers=1)
    parts = objective.flops(config, 1000, 3)
    encoder = 3 * 1200 * 2 * 10 * 8
    assert parts["tokens_left_out"] == pytest.approx(-0.75 * encoder)
    a_layer = 2 * 1200 * 4 * 4 * 4 + 2 * 2 * 1200 * 100 * 4 + 2 * 2 * 1200 * 4 * 16
    assert parts["decoder"] == 3 * (2 * 300 * 8 * 4 + a_layer + 2 * 1200 * 4 * 10)
    linear = MaskedObjectiveConfig(hide="leads", decoder_layers=0)
    assert linear.flops(OnlyHides(width=8), 1000, 3) == {"decoder": 3 * 2 * 100 * 8 * 120}


@pytest.mark.slow
def test_it_learns(monkeypatch):
    """Hidden leads are told from the others, on which the limb leads depend linearly."""
    monkeypatch.setitem(FAMILIES, "patches", OnlyHides)
    model = {"kind": "patches", "width": 64}
    objective = {"kind": "masked", "hide": "leads", "lead_share": 0.25, "target": "lead"}
    run = learned(model, objective, steps=60, batch=32, seconds=2.0, learning_rate=1e-2)
    # a lead has mean 0 and variance 1: by nothing it is told with an error of 1
    assert mean_of(run.metrics[-5:], "loss") < 0.7 < 0.95 < run.metrics[0]["loss"]
