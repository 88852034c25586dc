"""An unknown key is named with its new name, or with the known key that was probably meant."""

import pytest

from textae.config.key_names import RENAMED, unknown_key, unknown_option, unknown_value
from textae.config.mapping import flat, to_mapping
from textae.config.schema import Config, PydocsConfig

pytestmark = pytest.mark.backend_free

KNOWN = list(flat(to_mapping(Config(corpus=PydocsConfig()))))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("training.lr", "training.learning_rate"),
        ("training.learing_rate", "training.learning_rate"),
        ("training.LR", "training.learning_rate"),
        ("training.bs", None),
        ("model.stride", "model.strides"),
        ("latent_size", "model.latent_size"),
        ("training.latent_size", "model.latent_size"),
        ("kind", "corpus.kind or tokenizer.kind or model.upsampler.kind"),
        ("training.momentum", None),
        ("model.foo", None),
    ],
)
def test_a_suggestion_only_where_one_is_close(key, meant):
    expected = f"unknown key {key}" + (f"; did you mean {meant}?" if meant else "")
    assert unknown_key(key, KNOWN) == expected


@pytest.mark.parametrize("key", [f"{group}.{old}" for group, names in RENAMED.items() for old in names])
def test_a_renamed_key_says_its_new_name(key):
    group, _, old = key.partition(".")
    assert unknown_key(key, KNOWN) == f"unknown key {key}; it was renamed to {group}.{RENAMED[group][old]}"


def test_a_key_that_became_part_of_another():
    assert unknown_key("training.informed_start", KNOWN).endswith("it was renamed to model.initialization")


def test_a_key_that_was_removed_says_why():
    found = unknown_key("training.gradient_filter", KNOWN)
    assert found.startswith("unknown key training.gradient_filter; it was removed, for models that begin well")


def test_options_and_values():
    assert unknown_option("model", "vectr", ["sequence", "vector"]) == (
        "unknown option model=vectr; did you mean model=vector?"
    )
    assert unknown_option("model", "x", ["sequence", "vector"]) == (
        "unknown option model=x; expected one of sequence, vector"
    )
    assert unknown_value("model.latent", "chunk", "sequence, vector") == (
        "model.latent: expected one of sequence, vector, found chunk; it was renamed to sequence"
    )
