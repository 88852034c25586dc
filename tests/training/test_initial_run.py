"""Runs that begin with another run's tokenizer and weights."""

import shutil

import numpy as np
import pytest

from textae.data.tokenizers import load_tokenizer
from textae.runs import hub, run_folder
from textae.runs.arrays import read_arrays
from textae.runs.run_folder import RunDir
from textae.training.fit import fit
from textae.training.initial_run import read_initial_run

pytestmark = pytest.mark.usefixtures("small_pictures")
FROZEN = {"training.freeze_encoder": True, "model.tie_embeddings": False, "training.max_steps": 3}


def kept(folder):
    return read_arrays(folder / run_folder.WEIGHTS)[0]


def test_the_decoder_alone_is_trained_on_other_texts(trained, tiny_config, tmp_path):
    """The encoder stays to the bit, so that latents keep their meaning; the tokenizer is the first run's."""
    before = kept(trained[0])
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"texts {i} ∑ of another kind" for i in range(60)))
    settings = {"training.initial_run": str(trained[0]), "corpus.files": [str(other)]}
    fit(tiny_config(**settings, **FROZEN), tmp_path / "run")
    after = kept(tmp_path / "run")
    assert after.keys() - before.keys() == {"output_embedding/embeddings"}
    for name, weights in before.items():
        assert np.array_equal(after[name], weights) == name.startswith("encoder/"), name
    assert not np.array_equal(after["output_embedding/embeddings"], before["encoder/embedding/embeddings"])
    found = load_tokenizer(tmp_path / "run" / run_folder.TOKENIZER)
    assert found.equals(load_tokenizer(trained[0] / run_folder.TOKENIZER))


def test_training_goes_on_from_the_weights(trained, tiny_config, tmp_path):
    initial = read_initial_run(tiny_config(**{"training.initial_run": str(trained[0])}))
    for name, weights in kept(trained[0]).items():
        np.testing.assert_array_equal(initial.weights[name], weights)
    settings = {"training.initial_run": str(trained[0]), "training.max_steps": 1, "training.learning_rate": 1e-9}
    metrics = fit(tiny_config(**settings), tmp_path / "run")
    assert metrics["loss"] == pytest.approx(trained[1]["loss"], rel=1e-4)


@pytest.mark.backend_free
def test_a_run_of_the_hub(hub_server, trained, tiny_config, tmp_path, monkeypatch):
    """It is fetched once: the run that began with it goes on without it, and from any folder."""
    pytest.importorskip("huggingface_hub")
    hub.push(trained[0], "me/model")
    settings = {"training.initial_run": "hf://me/model", "training.learning_rate": 1e-9}
    metrics = fit(tiny_config(**settings | {"training.max_steps": 1}), tmp_path / "run")
    assert metrics["loss"] == pytest.approx(trained[1]["loss"], rel=1e-4)
    assert RunDir(tmp_path / "run").config()["training"]["initial_run"] == "hf://me/model"

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    assert fit(tiny_config(**settings | {"training.max_steps": 2}), tmp_path / "run")["steps"] == 2
    with pytest.raises(ValueError, match=r"training\.initial_run: hf://me/other: the Hub cannot be asked: "):
        read_initial_run(tiny_config(**{"training.initial_run": "hf://me/other"}))


@pytest.mark.backend_free
def test_a_pretrained_model(trained, tiny_config, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "package" / "small")
    monkeypatch.setattr("textae.config.run_names._PRETRAINED", tmp_path / "package")
    config = tiny_config(**{"training.initial_run": "small"})
    assert config.located().training.initial_run == "small"
    for name, weights in kept(trained[0]).items():
        np.testing.assert_array_equal(read_initial_run(config).weights[name], weights)
    with pytest.raises(ValueError, match=r"training\.initial_run: .* the pretrained models are: small$"):
        read_initial_run(tiny_config(**{"training.initial_run": "smal"}))


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.latent_size": 17}, "expected the model of training.initial_run=.* received one whose .* has shape"),
        (
            {"tokenizer.kind": "characters"},
            "expected tokenizer.kind=bytes, which training.initial_run=.*, received characters",
        ),
        ({"training.initial_run": "nowhere"}, "training.initial_run: run: expected a run folder, found no folder"),
    ],
)
def test_runs_that_do_not_fit(trained, tiny_config, changes, message):
    with pytest.raises(ValueError, match=message):
        read_initial_run(tiny_config(**{"training.initial_run": str(trained[0])} | changes))
