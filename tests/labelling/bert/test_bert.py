"""The BERT classifier by itself, and its layers against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bert_folders import config, random_params
from flax import nnx

from deepecg_jax.errors import UserError
from deepecg_jax.labelling.bert.config import BertConfig
from deepecg_jax.labelling.bert.encoder import BertEncoder
from deepecg_jax.labelling.bert.model import BertClassifier
from deepecg_jax.training.state import split_model


@pytest.fixture(scope="module")
def model():
    own = config()
    graph = split_model(BertClassifier(own, jax.random.key(0)))[0]
    return nnx.merge(graph, random_params(own))


def test_layers_against_torch():
    torch = pytest.importorskip("torch")
    own = config(num_hidden_layers=1)
    encoder = BertEncoder(own, jax.random.key(0))
    p = {
        name: np.asarray(value[...])[0]
        + np.random.default_rng(i).normal(0, 0.2, value.shape[1:]).astype(np.float32)
        for i, (name, value) in enumerate(vars(encoder).items())
        if isinstance(value, nnx.Param)
    }
    for name, value in p.items():
        getattr(encoder, name)[...] = jnp.asarray(value)[None]
    layer = torch.nn.TransformerEncoderLayer(
        32, 4, 48, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
    layer.train()  # the evaluation path of PyTorch is fused for nested tensors
    values = {
        "self_attn.in_proj_weight": p["qkv_kernel"].reshape(32, 96).T,
        "self_attn.in_proj_bias": p["qkv_bias"].reshape(96),
        "self_attn.out_proj.weight": p["out_kernel"].T,
        "self_attn.out_proj.bias": p["out_bias"],
        "linear1.weight": p["up_kernel"].T,
        "linear1.bias": p["up_bias"],
        "linear2.weight": p["down_kernel"].T,
        "linear2.bias": p["down_bias"],
        "norm1.weight": p["attention_norm_scale"],
        "norm1.bias": p["attention_norm_bias"],
        "norm2.weight": p["ffn_norm_scale"],
        "norm2.bias": p["ffn_norm_bias"],
    }
    layer.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    x = np.random.default_rng(9).normal(0, 1, (3, 7, 32)).astype(np.float32)
    mask = np.arange(7)[None] < np.array([7, 3, 1])[:, None]
    with torch.no_grad():
        expected = layer(torch.tensor(x), src_key_padding_mask=torch.tensor(~mask)).numpy()
    found = np.asarray(encoder(jnp.asarray(x), jnp.asarray(mask)))
    np.testing.assert_allclose(found[mask], expected[mask], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_padding_changes_nothing(model):
    ids = jnp.asarray(np.random.default_rng(0).integers(5, 50, (2, 9)))
    alone = model(ids)
    padded = jnp.concatenate([ids, jnp.full((2, 6), 7)], 1)
    mask = jnp.arange(15)[None, :] < jnp.array([9, 9])[:, None]
    np.testing.assert_allclose(model(padded, mask), alone, atol=1e-5, rtol=0)
    assert np.abs(model(padded) - alone).max() > 1e-2  # so the mask is what does it


@pytest.mark.slow
def test_dropout_is_a_function_of_the_key(model):
    ids = jnp.asarray(np.random.default_rng(0).integers(5, 50, (2, 9)))
    first, again, other = (model(ids, key=jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2 and np.abs(first - model(ids)).max() > 1e-2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta', but only BERT"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"add_cross_attention": True}, "add_cross_attention=True"),
        ({"problem_type": "single_label_classification"}, "several findings at once"),
        ({"hidden_act": "silu"}, "hidden_act"),
        ({"num_attention_heads": 5}, "num_attention_heads=5 must divide hidden_size=32"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"id2label": {"0": "a", "2": "b"}}, "0, 1, 2 and so on"),
        ({"id2label": {"0": "a", "1": "a"}}, "'a' stands twice"),
    ],
)
def test_unsupported_configs(changes, words):
    values = config().to_json() | changes
    with pytest.raises(UserError) as caught:
        BertConfig.parse(values, "folder/config.json")
    assert words in str(caught.value) and "folder/config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_survives_a_round_trip():
    own = config(hidden_act="gelu_new", classifier_dropout=0.2)
    assert BertConfig.parse(own.to_json(), "x") == own
