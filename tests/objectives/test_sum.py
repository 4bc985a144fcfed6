"""A sum is the weighted losses of its terms, and needs what they need."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError
from toys import CausalToyConfig, ToyConfig

from deepecg_jax.config import PretrainConfig
from deepecg_jax.config_files import load_config, to_yaml
from deepecg_jax.errors import UserError
from deepecg_jax.models.encoder import Encoder
from deepecg_jax.models.families import FAMILIES, encoder_config
from deepecg_jax.objectives.augmentation.view import named_key
from deepecg_jax.objectives.kinds import objective_config
from deepecg_jax.objectives.objective import Draw, ObjectiveConfig
from deepecg_jax.objectives.pretrainer import Pretrainer
from deepecg_jax.signals.contract import SignalContract

FILE = "configs/pretrain/wcr_tiny.yaml"
BYOL = {"kind": "views", "method": "byol", "projection": [6, 4], "predictor_width": 5}
CPC = {"kind": "cpc", "horizons": [2], "negatives": 4, "reduction": "mean"}
CMSC = {"kind": "views", "projection": []}


def total(**terms: Any) -> ObjectiveConfig:
    return objective_config({"kind": "sum", "terms": terms})


@pytest.fixture
def causal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "causal", CausalToyConfig)


@pytest.mark.slow
def test_it_is_the_weighted_sum_of_what_each_term_says_alone() -> None:
    model, key = CausalToyConfig(), jax.random.key(7)
    sections = {"ahead": CPC, "averaged": BYOL, "halves": CMSC}
    weights = {"ahead": 1.0, "averaged": 0.5, "halves": 0.1}
    objective = total(**{n: {"weight": weights[n], "objective": s} for n, s in sections.items()})
    module = Pretrainer(model, objective, jax.random.key(0))
    copy = nnx.clone(module)
    draw: Draw[Encoder] = Draw(key, jnp.int32(0), copy.encoder, teacher_heads=copy.heads)
    signal = np.random.default_rng(0).normal(0, 300, (4, 200, 12))
    batch = {
        "signal": jnp.asarray(signal, jnp.int16),
        "lead_mask": jnp.ones((4, 12), bool),
        "patient": jnp.arange(4),
    }

    def found() -> Any:
        parts = {}
        for name, section in sections.items():
            term = objective_config(section)
            heads = term.heads(model, named_key(jax.random.key(0), name))
            own = draw._replace(key=named_key(key, name), teacher_heads=copy.heads[name])
            parts[name] = term.loss(module.encoder, heads, batch, own, jnp.float32)
        return parts, objective.loss(module.encoder, module.heads, batch, draw, jnp.float32)

    parts, (loss, metrics) = jax.jit(found)()
    expected = sum(weights[name] * float(parts[name][0]) for name in sections)
    assert float(loss) == float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)
    for name, (_, own) in parts.items():
        for metric, value in own.items():
            assert float(metrics[f"{name}.{metric}"]) == pytest.approx(float(value), rel=1e-5)
    names = set(nnx.to_pure_dict(nnx.state(module))["heads"])
    assert names == {"ahead", "averaged"}  # nothing is trained beside the third


def test_it_needs_what_its_terms_need() -> None:
    both = total(a={"objective": CPC}, b={"objective": BYOL})
    assert both.whole and not both.columns
    assert both.teacher is not None and both.teacher.heads
    assert both.seen(2500, 250.0) == ((1, 2500, True), (2, 1250, True), (2, 1250, False))
    alone = total(a={"objective": CPC}, b={"weight": 0.1, "objective": {**CPC, "cmsc_weight": 0.1}})
    assert not alone.whole and alone.columns == {"patient"} and alone.teacher is None
    assert alone.flops(CausalToyConfig(), 200, 2).keys() == {
        *("a.prediction", "a.contrastive", "b.prediction", "b.contrastive", "b.cmsc")
    }
    alone.check(CausalToyConfig())
    with pytest.raises(UserError, match="objective.kind=cpc .* model.kind=toy"):
        alone.check(ToyConfig())
    with pytest.raises(UserError, match="needs 5 tokens of an ECG, which has 2"):
        total(a={"objective": {**CPC, "horizons": [4]}}).check_signals(
            CausalToyConfig(), SignalContract(seconds=0.08), "x"
        )


def test_there_is_one_teacher() -> None:
    simdino = {**BYOL, "method": "simdino"}
    same = total(a={"objective": BYOL}, b={"objective": simdino})
    assert same.teacher == objective_config(BYOL).teacher
    slow = {**simdino, "teacher_start": 0.999}
    message = r"wants? its decay to be a 0.99 to 1 \(cosine\), b 0.999 to 1 \(cosine\); give them"
    with pytest.raises(ValidationError, match=message):
        total(a={"objective": BYOL}, b={"objective": slow})


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "at least 1 item"),
        ({"a.b": {"objective": CMSC}}, "should match pattern"),
        ({"a": {"weight": -1, "objective": CMSC}}, "greater than or equal to 0"),
        ({"a": {"weight": 1}}, "objective\n  Field required"),
        ({"a": {"objective": {"kind": "nothing"}}}, "kind=nothing is no objective; there are wcr"),
        ({"a": {"objective": {"kind": ["cpc"]}}}, r"kind=\['cpc'\] is no objective"),
        ({"a": {"objective": 3}}, "must be a section with kind"),
    ],
)
def test_what_is_no_sum_is_refused(terms: dict[str, Any], message: str) -> None:
    model = encoder_config({"kind": "wcr", "size": "tiny"})
    with pytest.raises(ValidationError, match=message):
        objective_config({"kind": "sum", "terms": terms}, model)


def test_terms_are_set_by_dotted_keys(causal: None) -> None:
    typed = [
        "model.kind=causal",
        "objective.terms.ahead.objective.horizons=[4,8]",
        "objective.terms.ahead.objective.kind=cpc",
        "objective.terms.halves.weight=0.1",
        "objective.terms.halves.objective.kind=views",
        "objective.kind=sum",
    ]
    config = load_config(PretrainConfig, FILE, typed)
    written = config.objective.model_dump(mode="json")["terms"]
    assert written["halves"]["weight"] == 0.1 and written["ahead"]["weight"] == 1.0
    assert written["ahead"]["objective"]["horizons"] == [4, 8]
    assert written["halves"]["objective"]["method"] == "cmsc"
    assert objective_config(config.objective.model_dump(mode="json")) == config.objective
    assert "horizons:" in to_yaml(config)
    near = (
        "unknown key 'objective.terms.ahead.objective.horizon' .did you mean 'objective.terms.ahe"
    )
    with pytest.raises(UserError, match=near):
        load_config(PretrainConfig, FILE, [*typed, "objective.terms.ahead.objective.horizon=3"])
    with pytest.raises(UserError, match="objective.kind=cpc .* model.kind=wcr"):
        load_config(PretrainConfig, FILE, typed[1:])


def test_heads_of_terms_suit_the_encoder() -> None:
    section = {"kind": "sum", "terms": {"wcr": {"objective": {"kind": "wcr"}}}}
    tiny = objective_config(section, encoder_config({"kind": "wcr", "size": "tiny"}))
    large = objective_config(section)
    codewords = [
        one.model_dump()["terms"]["wcr"]["objective"]["codewords"] for one in (tiny, large)
    ]
    assert codewords == [64, 320]
