"""Batches of fixed lengths: few programs, the order restored, the same scores."""

import jax
import numpy as np
import pytest
from bert_folders import config, random_params, write_folder
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from deepecg_jax.labelling.bert.classifier import ReportClassifier
from deepecg_jax.labelling.bert.scorer import LENGTHS, BertScorer, bucket_lengths, rows_of

OWN = config(num_hidden_layers=1, max_position_embeddings=100)


def one_device():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    return NamedSharding(mesh, PartitionSpec("data"))


def draw(n):
    rng = np.random.default_rng(n)
    return [rng.integers(5, 60, rng.integers(2, 101)).astype(np.int32) for _ in range(n)]


@pytest.mark.slow
def test_batches_change_nothing_but_the_speed():
    params, tokens = random_params(OWN), draw(90)
    alone = BertScorer(OWN, one_device(), tokens=1)  # a batch is one text
    expected = alone(params, tokens)
    assert expected.std() > 0.05
    batched = BertScorer(OWN, one_device(), tokens=512)
    done = []
    found = batched(params, tokens, done.append)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert sum(done) == 90
    assert len(batched._compiled) <= 4  # three lengths, and a last batch that is not full
    assert {length for length, _ in batched._compiled} == {32, 64, 100}
    # any order, and over several devices
    order = np.random.default_rng(0).permutation(90)
    everywhere = BertScorer(OWN, tokens=64)
    found = everywhere(everywhere.place(params), [tokens[i] for i in order])
    np.testing.assert_allclose(found, expected[order], atol=1e-6, rtol=0)
    assert BertScorer(OWN)(params, []).shape == (0, 3)


@pytest.mark.parametrize("n", [1, 5, 33])
def test_every_text_is_in_one_batch(n):
    scorer = BertScorer(OWN, one_device(), tokens=256)
    lengths = np.array([len(own) for own in draw(n)])
    seen = []
    for rows, size, length in scorer._plan(lengths):
        assert len(rows) <= size <= rows_of(length, 256, 1) and lengths[rows].max() <= length
        seen += rows.tolist()
    assert sorted(seen) == list(range(n))


def test_lengths():
    assert bucket_lengths(512) == bucket_lengths(1024) == LENGTHS
    assert bucket_lengths(100) == (32, 64, 100) and bucket_lengths(20) == (20,)
    assert rows_of(512, 8192, 1) == 16 and rows_of(512, 8192, 8) == 128 and rows_of(512, 1, 2) == 2


def test_texts_without_text_and_texts_that_come_again(tmp_path):
    pytest.importorskip("tokenizers")
    classifier = ReportClassifier.load(write_folder(tmp_path / "model"))
    done = []
    scores = classifier.scores(["no afib", "", "sinus", "no afib", " \n"], done.append)
    assert np.isnan(scores).all(1).tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(scores[0], scores[3])
    assert sum(done) == 2
    assert not classifier.positive(scores)[1].any()
    assert np.isnan(classifier.scores([""])).all()
