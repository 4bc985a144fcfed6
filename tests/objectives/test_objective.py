"""Objectives: plugged in by a line, refused by a sentence, shapes checked as they run."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, jaxtyped
from small_encoders import REFUSED, SMALL
from toys import ToyConfig, ToyObjective

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config, to_yaml
from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder, EncoderConfig
from deepecg_jax.models.families import FAMILIES, encoder_config
from deepecg_jax.objectives.augmentation.apply import changes_of
from deepecg_jax.objectives.augmentation.config import ViewConfig
from deepecg_jax.objectives.kinds import OBJECTIVES, objective_config
from deepecg_jax.objectives.objective import Draw, ObjectiveConfig, head_keys
from deepecg_jax.objectives.pretrainer import Pretrainer, pretraining_loss

FILE = "configs/pretrain/wcr_tiny.yaml"
PAIRS = [(o, e) for o in (*OBJECTIVES, "mean") for e in (*FAMILIES, "toy")]


@pytest.fixture(autouse=True)
def plugged(monkeypatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", ToyConfig)
    monkeypatch.setitem(OBJECTIVES, "mean", ToyObjective)


@jaxtyped(typechecker=beartype)
def loss_of(
    model: Pretrainer,
    objective: ObjectiveConfig,
    signal: Int[Array, "B T 12"],
    lead_mask: Bool[Array, "B 12"],
    patient: Int[Array, " B"],
    augment: ViewConfig,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    batch = {"signal": signal, "lead_mask": lead_mask}
    batch |= {"patient": patient} if "patient" in objective.COLUMNS else {}
    draw: Draw[Encoder] = Draw(jax.random.key(1), jnp.int32(3))
    changes = changes_of(augment, 250.0)
    return pretraining_loss(model, objective, batch, draw, changes, jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("augment", [{}, {"crop_seconds": 0.8, "lead_masking": 0.2}], ids=str)
@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_every_pair_trains_or_is_refused_with_a_sentence(objective, model, augment) -> None:
    encoder = encoder_config({"kind": model, **SMALL[model]})
    settings = objective_config({"kind": objective}, encoder)
    try:
        settings.check(encoder)
    except UserError as refusal:
        assert str(refusal).count(".") >= 1 and f"model.kind={model}" in str(refusal)
        assert model in REFUSED[objective]
        return
    assert model not in REFUSED[objective]
    module = Pretrainer(encoder, settings, jax.random.key(0))
    graph, *state = nnx.split(module, nnx.Param, nnx.BatchStat)
    params, rest = (nnx.to_pure_dict(part) for part in state)
    rng = np.random.default_rng(0)
    signal = jnp.asarray(rng.normal(0, 300, (4, 320, 12)), jnp.int16)

    def value(params: Any) -> tuple[jax.Array, Any]:
        merged = nnx.merge(graph, params, rest)
        views = ViewConfig.model_validate(augment)
        mask = jnp.ones((4, 12), bool)
        return loss_of(merged, settings, signal, mask, jnp.arange(4) // 2, views)

    (loss, metrics), slope = jax.jit(jax.value_and_grad(value, has_aux=True))(params)
    assert np.isfinite(loss) and float(metrics["loss"]) == float(loss)
    slopes = [np.abs(leaf).max() for leaf in jax.tree.leaves(slope["encoder"])]
    assert np.isfinite(slopes).all() and max(slopes) > 0


def test_config_validation_sees_what_is_plugged_in() -> None:
    typed = ["model.kind=toy", "model.width=16", "objective.kind=mean", "objective.strength=2.0"]
    config = load_config(PretrainConfig, FILE, typed)
    assert config.model == ToyConfig(width=16) and config.objective == ToyObjective(strength=2.0)
    assert "kind: toy" in to_yaml(config) and "strength: 2.0" in to_yaml(config)
    with pytest.raises(
        UserError, match="key 'objective.strenght' .did you mean 'objective.strength'"
    ):
        load_config(PretrainConfig, FILE, [*typed, "objective.strenght=2"])
    with pytest.raises(UserError, match="^objective.kind=mean needs model.width of 4, not 3.$"):
        load_config(PretrainConfig, FILE, [*typed, "model.width=3"])
    # WCR takes the toy, which hides tokens
    assert load_config(PretrainConfig, FILE, typed[:2]).objective.kind == "wcr"


def test_wcr_names_the_families_that_it_accepts() -> None:
    with pytest.raises(UserError, match="choose model.kind=wcr or s4 or toy, or another objective"):
        load_config(PretrainConfig, FILE, ["model.kind=efficientnet"])


def test_sizes_of_heads_suit_a_named_size_of_encoder() -> None:
    def sizes(model: dict[str, Any], **given: int) -> tuple[int, int]:
        found = objective_config({"kind": "wcr", **given}, encoder_config(model)).model_dump()
        return found["codewords"], found["final_dim"]

    assert sizes({"size": "tiny"}) == (64, 48) and sizes({"size": "large"}) == (320, 768)
    assert sizes({"size": "small"}, codewords=5) == (5, 64)
    assert sizes({"kind": "toy"}) == (320, 256)


def test_heads_and_encoder_have_keys_of_their_own() -> None:
    key = jax.random.key(5)
    keys = jax.random.key_data(jnp.stack([jax.random.split(key)[0], *head_keys(key, 3)]))
    assert len({tuple(row) for row in np.asarray(keys)}) == 4
    # more heads change no other
    few, many = (np.asarray(jax.random.key_data(head_keys(key, n))) for n in (3, 5))
    np.testing.assert_array_equal(few, many[:3])


class Bare(ObjectiveConfig):
    kind: str = "bare"


def test_an_objective_without_heads() -> None:
    module = Pretrainer(ToyConfig(), Bare(), jax.random.key(0))
    assert nnx.to_pure_dict(nnx.state(module)).keys() == {"encoder"}
    assert Bare().teacher is None and frozenset() == Bare.COLUMNS
    accepted: EncoderConfig = ToyConfig()
    Bare().check(accepted)
