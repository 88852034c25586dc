"""Run folders of older formats: settings are translated, results are equal, and what cannot be read says what to do."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

import textae
from textae.config.mapping import from_mapping, to_mapping
from textae.config.schema import ModelConfig
from textae.models.shapes import weight_shapes
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json, write_json
from textae.runs.old_formats import settings_of_format_2, weights_of_format_2
from textae.runs.run_folder import RunDir
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free  # names are translated before there is a model

RENAMED = [
    ("model", "widths", [8, 16], "channels", [8, 16]),
    ("model", "units", [0, 1], "residual_blocks", [0, 1]),
    ("model", "encoder_units", None, "encoder_residual_blocks", None),
    ("model", "encoder_units", [1, 0], "encoder_residual_blocks", [1, 0]),
    ("model", "unit_dropout", 0.25, "residual_dropout", 0.25),
    ("model", "long_documents", "split", "overflow", "split"),
    ("model", "long_documents", "cut", "overflow", "truncate"),
    ("model", "long_documents", "drop", "overflow", "drop"),
    ("model", "latent", "chunk", "latent", "sequence"),
    ("model", "latent", "vector", "latent", "vector"),
    ("training", "batch_tokens", 512, "tokens_per_batch", 512),
    ("training", "buckets", 3, "num_length_buckets", 3),
    ("training", "clip_norm", 0.5, "max_gradient_norm", 0.5),
    ("training", "clip_norm", None, "max_gradient_norm", None),
    ("training", "accumulate", 2, "gradient_accumulation_steps", 2),
    ("training", "ema", 0.99, "ema_decay", 0.99),
    ("training", "short_first", 0.35, "length_curriculum", 0.35),
    ("training", "random_tokens", 0.2, "random_token_rate", 0.2),
    ("training", "log_every", 7, "log_every_steps", 7),
    ("training", "validate_every", 11, "eval_every_steps", 11),
    ("training", "checkpoint_minutes", 3.0, "checkpoint_every_minutes", 3.0),
    ("training", "samples", 6, "num_logged_samples", 6),
]
# Today's names of weights, and those of format 2.
WEIGHTS = [
    (r"^(encoder|decoder)/level_(\d+)/block_(\d+)/", r"\1/\1_\2/\1_\2_unit_\3/"),
    (r"^decoder/length_head/(linear/|no_end)", r"end_finder/\1"),
    (r"^decoder/length_head/", "decoder/block_counter/"),
    (r"/frequencies/", "/angles/"),
    (r"^output_embedding/", ""),
]
# decoder_input, informed_start, train_encoder, train_waves -> initialization, freeze_encoder, train_frequencies
INITIALIZATIONS = [
    ({}, {}, "orthogonal", None, True),
    ({}, {"informed_start": False}, "random", None, True),
    ({"decoder_input": "linear"}, {"informed_start": True, "train_encoder": False}, "orthogonal", True, True),
    ({"decoder_input": "fourier"}, {"train_encoder": False, "train_waves": False}, "lattice", None, False),
    ({"decoder_input": "fourier"}, {"informed_start": True, "train_encoder": True}, "lattice", False, True),
]


@pytest.mark.parametrize(("group", "old", "value", "new", "translated"), RENAMED)
def test_a_renamed_setting(group, old, value, new, translated):
    given = {"name": "a", "model": {}, "training": {}} | {group: {old: value}}
    found = settings_of_format_2(given)
    assert found[group][new] == translated
    assert old == new or old not in found[group]
    assert given[group] == {old: value}  # nothing of what was given has changed


@pytest.mark.parametrize(("model", "training", "initialization", "frozen", "frequencies"), INITIALIZATIONS)
def test_the_settings_that_are_now_one_choice(model, training, initialization, frozen, frequencies):
    found = settings_of_format_2({"model": model, "training": training})
    assert found == {
        "model": {"initialization": initialization},
        "training": {"freeze_encoder": frozen, "train_frequencies": frequencies},
    }


def test_a_model_that_is_not_made_any_more():
    with pytest.raises(ValueError, match=r"informed_start=false: the version in its environment\.json reads it"):
        settings_of_format_2({"model": {"decoder_input": "fourier"}, "training": {"informed_start": False}})


def test_keys_that_were_removed_are_left_out(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    values = RunDir(folder).config()
    (folder / run_folder.CONFIG).write_text(
        yaml.safe_dump(values | {"training": values["training"] | {"gradient_filter": 0.01}})
    )
    assert RunDir(folder).config() == values


def old_names(values):
    """The settings of a run as a folder of format 2 has them."""
    values = json.loads(json.dumps(values))
    for group, old, _, new, _ in RENAMED:
        if new in values[group] and old != new:
            values[group][old] = values[group].pop(new)
    model, training = values["model"], values["training"]
    model["long_documents"] = {"truncate": "cut"}.get(model["long_documents"], model["long_documents"])
    model["latent"] = {"sequence": "chunk"}.get(model["latent"], model["latent"])
    training["informed_start"] = {"orthogonal": True, "random": False}[model.pop("initialization")]
    model["decoder_input"] = "linear"
    training["train_encoder"] = not training.pop("freeze_encoder")
    training["train_waves"] = training.pop("train_frequencies")
    return values


def old_weights(values):
    """What is known of weights by today's names, by those of format 2."""
    renamed = {}
    for name, value in values.items():
        for new, old in WEIGHTS:
            name = re.sub(new, old, name)
        renamed[name] = value
    return renamed


@pytest.mark.parametrize(
    "model",
    [{"tie_embeddings": False}, {"latent": "vector"}, {"initialization": "lattice", "latent": "vector"}],
    ids=str,
)
def test_all_names_of_weights_are_translated(model):
    shapes = weight_shapes(ModelConfig(channels=[16, 32], residual_blocks=[1, 2], **model), 258)
    assert weights_of_format_2(old_weights(shapes)) == shapes
    assert set(old_weights(shapes)) != set(shapes)


@pytest.fixture
def old(broken):
    """A finished run as a folder of format 2."""
    values = old_names(yaml.safe_load((broken / run_folder.CONFIG).read_text()))
    (broken / run_folder.CONFIG).write_text(yaml.safe_dump(values))
    environment = read_json(broken / run_folder.ENVIRONMENT)
    write_json(broken / run_folder.ENVIRONMENT, environment | {"format": 2})
    for name in (run_folder.WEIGHTS, run_folder.LAST):
        arrays, described = read_arrays(broken / name)
        write_arrays(broken / name, old_weights(arrays), described)
    return broken


def test_a_folder_of_format_2_is_used_as_one_of_today(old, trained):
    before, now = RunDir(old).config(), RunDir(trained[0]).config()
    assert to_mapping(from_mapping(before)) == to_mapping(from_mapping(now))
    assert any("_unit_" in name for name in read_arrays(old / run_folder.WEIGHTS)[0])
    texts = ["the red house", "a tree sings under the river", "", "a river " * 9]
    one, other = textae.load(old), textae.load(trained[0])
    for given, expected in zip(one.encode(texts), other.encode(texts), strict=True):
        np.testing.assert_array_equal(given, expected)
    assert one.reconstruct(texts) == other.reconstruct(texts)
    assert one.score(texts).tolist() == other.score(texts).tolist()


def test_an_unfinished_run_of_format_2_is_refused_with_what_to_do(tiny_config, old):
    shutil.copy(old / run_folder.WEIGHTS, old / run_folder.CHECKPOINT)
    (old / run_folder.METRICS).unlink()
    match = r"expected an unfinished run of format 3, found one of format 2 in .*use that version"
    with pytest.raises(ValueError, match=match) as caught:
        fit(tiny_config(), old)
    assert "\n" not in str(caught.value)


def test_it_is_evaluated_equally(old, trained, answer):
    assert answer("evaluate", f"run={old}") == answer("evaluate", f"run={trained[0]}")


@pytest.mark.parametrize(("found", "shown"), [(1, "1"), (None, "None"), ("x", "'x'"), (99, "99")])
def test_other_formats_say_what_to_do(broken, found, shown):
    environment = read_json(broken / run_folder.ENVIRONMENT) | {"format": found}
    write_json(broken / run_folder.ENVIRONMENT, environment | {"versions": {"textae": "0.1.0"}})
    with pytest.raises(ValueError, match=rf"of format 2 or 3, found {shown} in .*0\.1\.0, use that version") as caught:
        textae.load(broken)
    assert "\n" not in str(caught.value)
    write_json(broken / run_folder.ENVIRONMENT, environment | {"versions": {}})
    with pytest.raises(ValueError, match="train it anew, or read it with the version of textae that wrote it"):
        textae.load(broken)
