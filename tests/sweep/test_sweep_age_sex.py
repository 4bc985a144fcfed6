"""Age and sex alone, against scikit-learn's logistic regression."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from deepecg_jax.config import FinetuneConfig
from deepecg_jax.config_files import load_config
from deepecg_jax.data.building.build import build
from deepecg_jax.data.loading import inputs
from deepecg_jax.data.shards.split import open_split
from deepecg_jax.errors import UserError
from deepecg_jax.sweep.work.age_sex import age_sex_predictions

LABELS = ["Afib", "Left bundle branch block"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    build("synthetic", folder, options={"n": "240", "shares": "6/1/3"})
    return folder


def config(data, *overrides: str) -> FinetuneConfig:
    typed = [f"data.dir={data}", "data.dataset=synthetic", f"labels={LABELS}", *overrides]
    return load_config(FinetuneConfig, "configs/quickstart/finetune.yaml", typed)


def features(split, centre: float, spread: float) -> np.ndarray:
    age = np.asarray(split.index["age"].to_numpy(), float)
    age = (np.where(np.isnan(age), centre, age) - centre) / spread
    sex = np.asarray(split.index["sex"].to_pylist())
    return np.stack([age, age**2, sex == "female", sex == "male"], 1)


def test_the_scores_are_those_of_scikit_learn(data):
    found = age_sex_predictions(config(data, "data.label_share=1.0"), "test")
    train, test = (open_split(data, "synthetic", name) for name in ("train", "test"))
    ages = np.asarray(train.index["age"].to_numpy(), float)
    scale = np.nanmedian(ages), np.nanstd(ages)
    assert found.names == tuple(LABELS)
    assert found.record_id.tolist() == test.index["record_id"].to_pylist()
    for j, name in enumerate(LABELS):
        column = train.label_names.index(name)
        model = LogisticRegression(tol=1e-10, max_iter=1000)
        model.fit(features(train, *scale), train.labels[:, column])
        expected = model.predict_proba(features(test, *scale))[:, 1]
        np.testing.assert_allclose(found.scores[:, j], expected, atol=1e-5)
        assert found.labels[:, j].tolist() == test.labels[:, column].tolist()


def test_it_learns_from_the_records_that_a_fine_tuning_would(data):
    half, other = (
        age_sex_predictions(config(data, "data.label_share=0.8", f"seed={seed}"), "test")
        for seed in (0, 1)
    )
    assert not np.allclose(half.scores, other.scores)
    again = age_sex_predictions(config(data, "data.label_share=0.8", "optimizer.beta1=0.5"), "test")
    assert np.array_equal(half.scores, again.scores)


def test_without_any_age_or_sex_there_is_nothing_to_learn(data, monkeypatch):
    def unknown(*place):
        split = open_split(*place)
        n = len(split)
        for name, values in {"age": pa.nulls(n, pa.float32()), "sex": ["unknown"] * n}.items():
            column = split.index.schema.get_field_index(name)
            split.index = split.index.set_column(column, name, pa.array(values))
        return split

    monkeypatch.setattr(inputs, "open_split", unknown)
    with pytest.raises(UserError, match="no age and no sex is known in .*synthetic, split train"):
        age_sex_predictions(config(data, "data.label_share=1.0"), "test")


def test_a_label_with_one_class_is_refused_as_by_a_fine_tuning(data):
    with pytest.raises(UserError, match="has no positive record in .*; leave it out of labels"):
        age_sex_predictions(config(data, "data.label_share=0.01"), "test")
