"""Operations of a step against counts by hand, and against XLA's own."""

import pytest

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.objectives.kinds import OBJECTIVES
from deepecg_jax.objectives.objective import ObjectiveConfig
from deepecg_jax.plan.flops import step_flops
from deepecg_jax.signals.contract import SignalContract

SMALL = (
    "model.size=tiny",
    "model.width=8",
    "model.heads=2",
    "model.layers=3",
    "model.ffn_width=16",
    "train.global_batch=6",
    "objective.codewords=5",
    "objective.codebook_groups=2",
    "objective.latent_dim=4",
    "objective.final_dim=7",
    "objective.mask_share=0.25",
    "objective.lead_decoder=true",
    "objective.reconstruction_weight=1.0",
)


def config(*overrides: str) -> PretrainConfig:
    return load_config(PretrainConfig, "pretrain/wcr_tiny.yaml", [*SMALL, *overrides])


def test_a_step_by_hand() -> None:
    settings = config()
    n = settings.model.n_tokens(1250)  # of each half of an ECG
    assert n == 39
    masked, rows = 10, 12  # 0.25 x 39, rounded; two halves of six ECGs
    parts = step_flops(settings, SignalContract())
    assert parts is not None
    c = settings.model.feature_width
    by_hand = {
        "attention": rows * 3 * (4 * 2 * n * 8 * 8 + 2 * 2 * n * n * 8),
        "feed_forward": rows * 3 * 2 * 2 * n * 8 * 16,
        "quantizer": 2 * rows * masked * c * 2 * 5,
        "projections": 2 * rows * masked * (4 * 7 + 8 * 7),
        "contrastive": 2 * rows * masked * masked * 7,
        "cmsc": 2 * 6 * 6 * 8,
        "lead_decoder": 2 * rows * n * 8 * settings.model.samples_per_token * 12,
    }
    for name, count in by_hand.items():
        assert parts[name] == pytest.approx(3 * count), name
    assert {"stem", "positional"} <= parts.keys()


def test_the_positional_kernel_is_shared_by_the_rows_of_a_step() -> None:
    """Once a step, not once an ECG."""
    one, two = (step_flops(config(f"train.global_batch={b}"), SignalContract()) for b in (6, 12))
    assert one is not None and two is not None
    assert one["positional"] < two["positional"] < 2 * one["positional"]
    assert two["attention"] == 2 * one["attention"] and two["cmsc"] == 4 * one["cmsc"]


def test_parts_of_a_batch_share_the_kernel_and_contrast_apart() -> None:
    whole, halves = (
        step_flops(config(), SignalContract()),
        step_flops(config("train.accumulation=2"), SignalContract()),
    )
    assert whole is not None and halves is not None
    assert halves["cmsc"] == whole["cmsc"] / 2 and halves["attention"] == whole["attention"]
    assert halves["positional"] > whole["positional"]


def test_no_lead_decoder_no_products() -> None:
    parts = step_flops(config("objective.reconstruction_weight=0.0"), SignalContract())
    assert parts is not None and "lead_decoder" not in parts


def test_a_family_that_does_not_count_has_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    monkeypatch.setattr(type(settings.model), "flops", lambda *_: None)
    assert step_flops(settings, SignalContract()) is None


def test_an_objective_shows_the_whole_ecg_unless_it_says_otherwise() -> None:
    class Plain(ObjectiveConfig):
        kind: str = "plain"

    assert Plain().seen(2500, 250.0) == ((1, 2500, True),)
    assert Plain().flops(config().model, 2500, 4) == {}
    assert OBJECTIVES["wcr"].model_validate({}).seen(2500, 250.0) == ((2, 1250, True),)


def test_a_piece_costs_what_it_is_long() -> None:
    whole, piece = (
        step_flops(one, SignalContract()) for one in (config(), config("augment.crop_seconds=5"))
    )
    assert whole is not None and piece is not None
    assert piece["feed_forward"] == pytest.approx(whole["feed_forward"] / 2, rel=0.05)


def test_a_sum_passes_for_each_term_and_a_teacher_once() -> None:
    """A pass with a gradient is three, one without is one."""
    model = ("model.size=tiny", "model.width=8", "model.heads=2", "model.ffn_width=16")
    plain = "{kind: views, projection: [4, 3]}"
    byol = "{kind: views, method: byol, projection: [4, 3], predictor_width: 5}"
    total = f"{{kind: sum, terms: {{a: {{objective: {byol}}}, b: {{objective: {plain}}}}}}}"
    cmsc, teacher, both = (
        step_flops(
            load_config(PretrainConfig, "pretrain/wcr_tiny.yaml", [*model, f"objective={text}"]),
            SignalContract(),
        )
        for text in (plain, byol, total)
    )
    assert cmsc is not None and teacher is not None and both is not None
    assert teacher["feed_forward"] == pytest.approx(cmsc["feed_forward"] * 4 / 3)
    assert both["feed_forward"] == pytest.approx(teacher["feed_forward"] + cmsc["feed_forward"])
    rows = 2 * 24
    assert cmsc["projection"] == 3 * 2 * rows * (8 * 4 + 4 * 3)
    assert cmsc["contrastive"] == 3 * 2 * 24 * 24 * 3
    assert both["a.predictor"] == teacher["predictor"] == 3 * 2 * rows * 2 * 3 * 5
