"""The transformer in scikit-learn's own checks, in a pipeline, a search and a pickle."""

import pickle
import random

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from textae.sklearn import TextEncoder

pytestmark = pytest.mark.backend_free  # `textae.fit` and `textae.load`, whose own tests see to both backends

SMALL = {
    "tokenizer": "bytes", "model.strides": [4], "model.channels": [16, 32], "model.residual_blocks": [0, 0],
    "model.max_length": 32, "training.tokens_per_batch": 512, "training.validation_documents": 4,
    "training.num_logged_samples": 0,
}  # fmt: skip


def small(**arguments):
    return TextEncoder(**({"experiment": None, "latent_size": 8, "max_steps": 2, "overrides": VECTOR} | arguments))


VECTOR = {"model": "vector"} | SMALL


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, small_pictures):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []  # nothing is left where the program runs


@pytest.fixture(scope="module")
def labelled():
    draw = random.Random(0)
    animals, tools = "cat dog cow hen".split(), "saw axe nail hammer".split()
    labels = [number % 2 for number in range(40)]
    return [" ".join(draw.choices(tools if label else animals, k=3)) for label in labels], labels


def test_vectors_and_texts(labelled):
    texts, _ = labelled
    encoder = small()
    vectors = encoder.fit_transform(texts)
    assert vectors.shape == (40, 8) and vectors.dtype == np.float32
    np.testing.assert_array_equal(encoder.transform(np.array(texts)[:, None]), vectors)
    assert len(encoder.inverse_transform(vectors[:3])) == 3
    assert list(encoder.get_feature_names_out())[:2] == ["textencoder0", "textencoder1"]
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(texts[:5]), encoder.transform(texts[:5]))
    with pytest.raises(ValueError, match=r"expected X of shape \(texts, 8\), received \(2, 7\)"):
        encoder.inverse_transform(np.zeros((2, 7)))
    with pytest.raises(TypeError, match="expected X as a list of strings, received one string of 3 characters"):
        encoder.transform("cat")
    same = clone(encoder).fit(texts)
    np.testing.assert_array_equal(same.transform(texts[:5]), encoder.transform(texts[:5]))
    assert not np.array_equal(small(random_state=1).fit(texts).transform(texts[:5]), encoder.transform(texts[:5]))


def test_latents_of_a_sequence_have_a_mean_and_no_inverse(labelled):
    encoder = small(overrides=SMALL).fit(labelled[0])
    assert encoder.transform(labelled[0][:2]).shape == (2, 8)
    with pytest.raises(ValueError, match=r"expected an experiment with model.latent=vector .* every 4 tokens"):
        encoder.inverse_transform(np.zeros((2, 8)))


@pytest.mark.slow
def test_a_pipeline_is_searched_and_pickled(labelled):
    texts, labels = labelled
    pipeline = make_pipeline(small(), LogisticRegression())
    scores = cross_val_score(pipeline, texts, labels, cv=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()
    search = GridSearchCV(pipeline, {"textencoder__latent_size": [4, 8]}, cv=2).fit(texts, labels)
    assert search.best_params_["textencoder__latent_size"] in (4, 8)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(texts), search.best_estimator_.predict(texts))


CHECKS = [  # those that give an estimator no arrays of numbers
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_get_params_invariance",
    "check_set_params", "check_mixin_order",
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learn_finds_nothing_wrong(check):
    getattr(estimator_checks, check)("TextEncoder", TextEncoder())


def test_scikit_learn_has_no_further_checks_of_estimators_of_texts():
    with pytest.warns(SkipTestWarning, match="requires input"):
        found = [check.func.__name__ for _, check in estimator_checks.estimator_checks_generator(TextEncoder())]
    assert found == ["check_estimator_cloneable"]
