"""A run folder of format 2: the names of its weights, read as before."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

import textae
from textae.config.schema import ModelConfig
from textae.models.shapes import weight_shapes
from textae.runs import run_folder as rundir
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.old_formats import weights_of_format_2
from textae.training.fit import fit

# Today's names of settings and weights, and those of format 2.
MODEL = {
    "channels": "widths", "residual_blocks": "units", "encoder_residual_blocks": "encoder_units",
    "residual_dropout": "unit_dropout", "overflow": "long_documents",
}  # fmt: skip
TRAINING = {
    "tokens_per_batch": "batch_tokens", "num_length_buckets": "buckets", "max_gradient_norm": "clip_norm",
    "gradient_accumulation_steps": "accumulate", "ema_decay": "ema", "length_curriculum": "short_first",
    "random_token_rate": "random_tokens", "log_every_steps": "log_every", "eval_every_steps": "validate_every",
    "checkpoint_every_minutes": "checkpoint_minutes", "num_logged_samples": "samples",
    "train_frequencies": "train_waves",
}  # fmt: skip
WEIGHTS = [
    (r"^(encoder|decoder)/level_(\d+)/block_(\d+)/", r"\1/\1_\2/\1_\2_unit_\3/"),
    (r"^decoder/length_head/(linear/|no_end)", r"end_finder/\1"),
    (r"^decoder/length_head/", "decoder/block_counter/"),
    (r"/frequencies/", "/angles/"),
    (r"^output_embedding/", ""),
]


def old_name(name):
    for new, old in WEIGHTS:
        name = re.sub(new, old, name)
    return name


def age(folder):
    """Write a folder's settings and weights as format 2 did."""
    config = yaml.safe_load((folder / rundir.CONFIG).read_text())
    for group, names in (("model", MODEL), ("training", TRAINING)):
        config[group] = {names.get(name, name): value for name, value in config[group].items()}
    config["model"] |= {"latent": "chunk", "decoder_input": "linear", "long_documents": "split"}
    config["training"] |= {"informed_start": config["model"].pop("initialization") == "orthogonal"}
    config["training"]["train_encoder"] = not config["training"].pop("freeze_encoder")
    (folder / rundir.CONFIG).write_text(yaml.safe_dump(config))
    environment = json.loads((folder / rundir.ENVIRONMENT).read_text()) | {"format": 2}
    (folder / rundir.ENVIRONMENT).write_text(json.dumps(environment))
    for name in (rundir.WEIGHTS, rundir.LAST):
        arrays, described = read_arrays(folder / name)
        write_arrays(folder / name, {old_name(weight): array for weight, array in arrays.items()}, described)


def test_a_run_folder_of_format_2_is_read_as_before(trained, broken):
    age(broken)
    assert any("_unit_" in name for name in read_arrays(broken / rundir.WEIGHTS)[0])
    old, new, texts = textae.load(broken), textae.load(trained[0]), ["the red house", "", "a river " * 9]
    for one, other in zip(old.encode(texts), new.encode(texts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert old.reconstruct(texts) == new.reconstruct(texts)
    np.testing.assert_array_equal(old.score(texts), new.score(texts))


@pytest.mark.parametrize(
    "model",
    [{"tie_embeddings": False}, {"latent": "vector"}, {"initialization": "lattice", "latent": "vector"}],
    ids=str,
)
def test_all_names_of_weights_are_translated(model):
    shapes = weight_shapes(ModelConfig(channels=[16, 32], residual_blocks=[1, 2], **model), 258)
    old = {old_name(name): shape for name, shape in shapes.items()}
    assert weights_of_format_2(old) == shapes
    assert set(old) != set(shapes)


def test_an_unfinished_run_of_format_2_is_refused_with_what_to_do(tiny_config, broken):
    shutil.copy(broken / rundir.WEIGHTS, broken / rundir.CHECKPOINT)
    (broken / rundir.METRICS).unlink()
    age(broken)
    match = (
        r"expected an unfinished run of format 3, found one of format 2 in .*use that version for it, or train it anew"
    )
    with pytest.raises(ValueError, match=match):
        fit(tiny_config(), broken)
