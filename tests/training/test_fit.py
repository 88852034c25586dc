"""Whole runs on a corpus of moments: what they leave, that they repeat, and that they go on where they stopped."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import keras
import numpy as np
import pytest
from filelock import FileLock

import textae
from helpers.jax_compiling import XLA_FLAGS
from helpers.runs import same_result
from helpers.stopping import stop_after
from textae.config.mapping import from_mapping
from textae.config.metric_table import DIRECTIONS
from textae.config.metric_table import names as metric_names
from textae.config.schema import DistributedConfig
from textae.data.tokenizers import CharactersTokenizer
from textae.evaluation.evaluator import evaluate
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json, write_json
from textae.runs.run_folder import RunDir
from textae.training.checkpoint import MAY_CHANGE
from textae.training.fit import fit
from textae.training.interrupts import Interrupted
from textae.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("small_pictures")
# Folders and files, or which weights are trained: `test_steps.py` and `test_initialization.py` see to both backends.
backend_free = pytest.mark.backend_free

METRICS = {
    "loss", "token_accuracy", "exact_match", "bleu", "sentence_bleu2", "sentence_bleu3", "sentence_bleu4", "rouge1",
    "rouge2", "cer", "wer", "latent_floats_per_token", "documents", "tokens", "examples_seen", "steps",
    "train_seconds", "tokens_per_second", "parameters", "peak_memory_mb", "random_token_accuracy", "active_units",
    "length_accuracy",
}  # fmt: skip
NOISY = {
    "model.latent_noise": 0.2,
    "training.corruption.mask": 0.1,
    "training.corruption.substitute": 0.2,
    "training.corruption.shuffle": 2,
    "model.residual_dropout": 0.1,
    "training.ema_decay": 0.9,
    "training.gradient_accumulation_steps": 2,
}


def test_what_a_run_leaves(trained):
    folder, metrics = trained
    names = {entry.name for entry in folder.iterdir()}
    assert names - {run_folder.LOCK} == {
        run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.TOKENIZER, run_folder.WEIGHTS, run_folder.LAST,
        run_folder.METRICS, run_folder.HISTORY, run_folder.CARD, run_folder.BY_LENGTH, run_folder.CHECKPOINT, "train",
        "validation", "test",
    }  # fmt: skip
    assert json.loads((folder / run_folder.METRICS).read_text()) == metrics
    assert set(metrics) >= METRICS | set(DIRECTIONS) & set(metric_names(runs="all"))
    assert not set(metrics) & {*metric_names(runs="noisy"), *metric_names(runs="variational")}
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["steps"] == 12
    assert metrics["examples_seen"] > 12
    assert 4 < metrics["latent_floats_per_token"] < 8
    history = (folder / run_folder.HISTORY).read_text().splitlines()
    assert len(history) == 4
    assert [line.split(",")[0] for line in history] == ["step", "5", "10", "12"]
    lines = [line.split(",") for line in (folder / run_folder.BY_LENGTH).read_text().splitlines()]
    assert lines[0] == ["low", "high", "documents", "token_accuracy", "exact_match", "sentence_bleu4"]
    assert sum(int(line[2]) for line in lines[1:]) == metrics["documents"]
    assert 1 <= metrics["active_units"] <= 16
    assert not [name for name in metrics if name.startswith(("corrupted_", "cer_"))]
    environment = read_json(folder / run_folder.ENVIRONMENT)
    assert environment["backend"] == keras.backend.backend()
    assert environment["vocabulary_size"] == 258


def test_the_loss_falls(trained):
    folder, metrics = trained
    first = (folder / run_folder.HISTORY).read_text().splitlines()[1].split(",")
    names = (folder / run_folder.HISTORY).read_text().splitlines()[0].split(",")
    assert metrics["loss"] < float(dict(zip(names, first, strict=True))["loss"]) < np.log(258)


def test_the_kept_weights_give_the_metrics(trained, tiny_config, data_dir):
    from textae.data.corpora import open_corpus

    folder, metrics = trained
    config = tiny_config()
    corpus = open_corpus(config.corpus, data_dir / "corpora")
    found = evaluate(textae.load(folder), corpus.texts("test")).metrics
    for name, value in found.items():
        assert value == pytest.approx(metrics[name], rel=1e-6), name


LATTICE = {"model.initialization": "lattice", "model.tie_embeddings": False}


@pytest.mark.slow
@backend_free
@pytest.mark.parametrize("kind", ["orthogonal", "random"])
def test_the_decoder_begins_as_the_encoders_transpose_or_not(tiny_config, tmp_path, kind):
    still = {"training.max_steps": 1, "training.learning_rate": 1e-9}
    fit(tiny_config(**still, **{"model.initialization": kind}), tmp_path)
    weights = textae.load(tmp_path).model.named_weights()
    down = next(values for name, values in weights.items() if "down_0" in name and "kernel" in name)
    up = next(values for name, values in weights.items() if "up_0" in name and "kernel" in name)
    assert np.allclose(down, up, atol=1e-6) == (kind == "orthogonal")


@pytest.mark.slow
@backend_free
@pytest.mark.parametrize("tied", [False, True])
def test_a_frozen_encoder_stays_as_it_began(tiny_config, tmp_path, tied):
    """With tied embeddings the output layer's table is the encoder's."""
    changes = {"training.freeze_encoder": True, "model.tie_embeddings": tied, "training.weight_decay": 0.5}
    weights = []
    for steps in (1, 4):
        fit(tiny_config(**changes, **{"training.max_steps": steps}), tmp_path / str(steps))
        weights.append(textae.load(tmp_path / str(steps)).model.named_weights())
    before, after = weights
    for name, values in before.items():
        same = np.array_equal(np.array(values), np.array(after[name]))
        assert same == name.startswith("encoder"), name


@pytest.mark.slow
@backend_free
def test_frequencies_that_are_not_trained_stay(tiny_config, tmp_path):
    changes = LATTICE | {"training.train_frequencies": False, "training.freeze_encoder": False}
    weights = []
    for steps in (1, 4):
        fit(tiny_config(**changes, **{"training.max_steps": steps}), tmp_path / str(steps))
        weights.append(textae.load(tmp_path / str(steps)).model.named_weights())
    before, after = weights
    kept = {name for name, values in before.items() if np.array_equal(np.array(values), np.array(after[name]))}
    assert {name for name in before if "angles" in name} <= kept
    assert not any("decoder_0_unit" in name or "embedding" in name for name in kept)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="on JAX the device decides")
@pytest.mark.parametrize(("kind", "expected"), [("random", "bfloat16"), ("lattice", "float32")])
def test_the_lattice_is_computed_in_float32_where_the_rest_is_not(tiny_config, tmp_path, monkeypatch, kind, expected):
    monkeypatch.setattr("textae.hardware.processor_flags", lambda: {"avx512_bf16"})
    changes = LATTICE | {"model.initialization": kind, "training.max_steps": 1, "training.precision": "auto"}
    fit(tiny_config(**changes), tmp_path)
    assert read_json(tmp_path / run_folder.ENVIRONMENT)["precision"] == expected


@pytest.mark.slow
@backend_free
def test_random_tokens_are_drawn_in_training(trained, tiny_config, tmp_path):
    fit(tiny_config(**{"training.random_token_rate": 0.5}), tmp_path)
    before, after = (read_json(folder / run_folder.METRICS) for folder in (trained[0], tmp_path))
    assert after["random_token_accuracy"] > before["random_token_accuracy"]


@backend_free
def test_a_finished_run_is_left_as_it_is(trained, tiny_config):
    folder, metrics = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != run_folder.LOCK}
    assert fit(tiny_config(), folder) == metrics
    assert {path: path.stat().st_mtime_ns for path in before} == before


@backend_free
def test_an_interrupted_run_goes_on_to_the_bit(tiny_config, tmp_path, trained, monkeypatch):
    goes_on(tiny_config(), trained[0], tmp_path / "parts", monkeypatch, stops=(3, 10))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="on TensorFlow test_killed.py shows it")
def test_an_interrupted_run_with_noise_goes_on_to_the_bit(tiny_config, tmp_path, monkeypatch):
    metrics = fit(tiny_config(**NOISY), tmp_path / "whole")
    # of 20 % substituted and 10 % masked bytes next to none is what it was; moving some changes the rest
    assert 0.3 < metrics["corrupted_cer_before"] < 0.8
    assert metrics["corrupted_token_accuracy"] < metrics["token_accuracy"]
    assert {"corrupted_cer", "corrupted_bleu", "corrupted_loss"} < set(metrics)
    assert "cer_before" not in metrics
    goes_on(tiny_config(**NOISY), tmp_path / "whole", tmp_path / "parts", monkeypatch, stops=(6,))


def goes_on(config, whole, parts, monkeypatch, stops):
    """Train in parts, stopped after some steps, and compare with a whole run."""
    for steps in stops:
        with monkeypatch.context() as patch:
            stop_after(patch.setattr, steps)
            with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
                fit(config, parts)
        assert caught.value.exit_code == 143
        assert not RunDir(parts).finished
        described = read_arrays(parts / run_folder.CHECKPOINT)[1]
        assert described["step"] == steps
    fit(config, parts)
    same_result(whole, parts)
    columns = [(f / run_folder.HISTORY).read_text().splitlines() for f in (whole, parts)]
    assert len(columns[0]) == len(columns[1])
    assert (parts / run_folder.CHECKPOINT).exists() and not (parts / run_folder.PREVIOUS).exists()


@backend_free
def test_a_finished_run_is_made_longer(tiny_config, tmp_path):
    """With a constant learning rate it ends as one that was as long from the start."""
    constant = {"training.schedule": "constant", "training.eval_every_steps": 4}
    short, long = (tiny_config(**constant | {"training.max_steps": steps}) for steps in (4, 8))
    fit(long, tmp_path / "whole")
    first = fit(short, tmp_path / "parts")
    with pytest.raises(ValueError, match=r"expected the configuration of the run in .*: training.max_steps=4, found 3"):
        fit(tiny_config(**constant | {"training.max_steps": 3}), tmp_path / "parts")
    assert fit(short, tmp_path / "parts") == first
    second = fit(long, tmp_path / "parts")
    assert (first["steps"], second["steps"]) == (4, 8)
    same_result(tmp_path / "whole", tmp_path / "parts")
    assert [int(row["step"]) for row in csv.DictReader((tmp_path / "parts" / run_folder.HISTORY).open())] == [4, 8]


@backend_free
def test_a_run_without_its_checkpoint_is_not_made_longer(tiny_config, tmp_path):
    fit(tiny_config(**{"training.max_steps": 2, "training.keep_checkpoint": False}), tmp_path)
    assert not (tmp_path / run_folder.CHECKPOINT).exists()
    before = RunDir(tmp_path).metrics()
    with pytest.raises(ValueError, match=r"expected checkpoint.safetensors of the finished run .*keep_checkpoint=true"):
        fit(tiny_config(**{"training.max_steps": 3, "training.keep_checkpoint": False}), tmp_path)
    assert RunDir(tmp_path).metrics() == before


@pytest.mark.slow
@backend_free
def test_a_run_killed_before_its_first_checkpoint_begins_anew(trained, tiny_config, tmp_path):
    """And the same seed gives the same run."""
    run = RunDir(tmp_path)
    from textae.config.mapping import to_mapping

    run.create(to_mapping(tiny_config()), {"versions": {"textae": "0.1.0"}})
    fit(tiny_config(), tmp_path)
    same_result(trained[0], tmp_path)


@backend_free
def test_another_configuration_is_refused(trained, tiny_config):
    with pytest.raises(ValueError, match=r"training\.learning_rate=0\.01, found 0\.5"):
        fit(tiny_config(**{"training.learning_rate": 0.5}), trained[0])
    with pytest.raises(ValueError, match=r"model\.channels=\[16, 32\], found \[16, 48\]"):
        fit(tiny_config(**{"model.channels": [16, 48]}), trained[0])
    with pytest.raises(ValueError, match=r"training\.resume=never, found a run in"):
        fit(tiny_config(**{"training.resume": "never"}), trained[0])


@backend_free
def test_what_may_change(trained, tiny_config):
    changes = {"training.log_every_steps": 3, "training.checkpoint_every_minutes": 9.0, "data_dir": "elsewhere"}
    changes |= {"training.on_nonfinite": "skip", "training.keep_checkpoint": False, "objective": "bleu"}
    changes |= {"training.loggers": []}
    apart = {"training.resume", "corpus.workers", "corpus.beam"}
    apart |= {f"distributed.{field.name}" for field in fields(DistributedConfig)}
    assert set(changes) | apart == MAY_CHANGE
    assert fit(tiny_config(**changes), trained[0]) == trained[1]


@backend_free
def test_a_second_process_is_refused(tiny_config, tmp_path):
    with FileLock(tmp_path / run_folder.LOCK), pytest.raises(ValueError, match="found another process in"):
        fit(tiny_config(), tmp_path)


@pytest.fixture(scope="module")
def stopped(tiny_config, tmp_path_factory):
    """The folder of a run that was stopped after its sixth step, with a checkpoint of each step."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch.setattr, 6)
        with pytest.raises(Interrupted):
            fit(tiny_config(**{"training.checkpoint_every_minutes": 0.0}), folder)
    return folder


@pytest.fixture
def halted(stopped, tmp_path):
    """A copy of it."""
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


@backend_free
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(halted, tiny_config, trained, capsys):
    assert [read_arrays(halted / n)[1]["step"] for n in (run_folder.CHECKPOINT, run_folder.PREVIOUS)] == [6, 5]
    damage(halted / run_folder.CHECKPOINT)
    fit(tiny_config(), halted)
    said = capsys.readouterr().err
    assert "checkpoint.safetensors is damaged" in said
    assert "going on from checkpoint.previous.safetensors" in said
    assert "continuing after step 5" in said
    same_result(trained[0], halted)
    assert not (halted / run_folder.PREVIOUS).exists()


@backend_free
def test_two_damaged_checkpoints(halted, tiny_config):
    damage(halted / run_folder.CHECKPOINT)
    damage(halted / run_folder.PREVIOUS)
    before = sorted(halted.rglob("*"))
    match = r"checkpoint\.safetensors is damaged .*; without checkpoint\.safetensors and .* the run begins anew"
    with pytest.raises(ValueError, match=match):
        fit(tiny_config(), halted)
    assert sorted(halted.rglob("*")) == before


@backend_free
def test_damaged_weights_are_told_when_a_run_goes_on(halted, tiny_config):
    damage(halted / run_folder.WEIGHTS)
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged"):
        fit(tiny_config(), halted)


@backend_free
def test_a_checkpoint_of_another_version(halted, tiny_config):
    arrays, state = read_arrays(halted / run_folder.CHECKPOINT)
    write_arrays(halted / run_folder.CHECKPOINT, arrays, state | {"momentum": 3})
    with pytest.raises(ValueError, match=r"expected a checkpoint of this version of textae .* also holds momentum"):
        fit(tiny_config(), halted)


@backend_free
def test_other_text_or_tokens_are_refused(halted, tiny_config):
    environment = read_json(halted / run_folder.ENVIRONMENT)
    other = environment["corpus"] | {"fingerprint": "0123"}
    write_json(halted / run_folder.ENVIRONMENT, environment | {"corpus": other})
    with pytest.raises(ValueError, match=r"expected the corpus that the run in .* was begun on \(0123\), found"):
        fit(tiny_config(), halted)
    write_json(halted / run_folder.ENVIRONMENT, environment)
    CharactersTokenizer("abc").save(halted / run_folder.TOKENIZER)
    with pytest.raises(ValueError, match=r"expected the tokenizer that the run in .* was begun with"):
        fit(tiny_config(), halted)


def test_a_loss_that_is_not_finite(tiny_config, tmp_path):
    changes = {"training.learning_rate": 1e30, "training.warmup_steps": 0, "training.max_gradient_norm": None}
    with pytest.raises(FloatingPointError, match=r"expected a finite loss, found .* at step \d+, .*on_nonfinite=skip"):
        fit(tiny_config(**changes), tmp_path)
    assert not RunDir(tmp_path).finished


SAMPLED = {"vocabulary_loss": "sampled", "sampled_ids": 20, "sampling_distribution": "unigram"}


@pytest.mark.parametrize(
    "changes",
    [
        {"model.latent": "vector", "model.overflow": "truncate", "training.patience": 1},
        {"model.variational": True, "training.max_steps": None, "training.max_epochs": 0.5},
        {"training.optimizer": "muon", "training.label_smoothing": 0.1, "training.length_curriculum": 0.5},
        {"model.overflow": "drop", "training.max_minutes": 0.01, "training.precision": "bfloat16"},
        {f"training.{key}": value for key, value in SAMPLED.items()},
    ],
    ids=["vector", "variational", "muon", "minutes", "sampled"],
)
@pytest.mark.slow
def test_other_settings(tiny_config, tmp_path, changes):
    metrics = fit(tiny_config(**{"training.max_steps": 4} | changes), tmp_path)
    assert np.isfinite(metrics["loss"])
    assert metrics["steps"] >= 1


@pytest.mark.slow
@pytest.mark.compiled  # for many steps this is faster
def test_a_few_documents_are_learnt_by_heart(tiny_config, tmp_path):
    changes = {"overfit_documents": 8, "max_steps": 150, "schedule": "constant", "eval_every_steps": 50}
    metrics = fit(tiny_config(**{f"training.{name}": value for name, value in changes.items()}), tmp_path)
    history = list(csv.DictReader((tmp_path / "metrics.csv").open(encoding="utf-8")))
    assert [row["documents"] for row in history] == ["8"] * 3
    assert float(history[-1]["exact_match"]) == 1
    assert metrics["documents"] > 8
    assert metrics["exact_match"] < 0.5


@backend_free
def test_no_documents_that_fit(tiny_config, tmp_path):
    changes = {"model.overflow": "drop", "model.strides": [1], "model.max_length": 1}
    with pytest.raises(ValueError, match=r"at most model\.max_length=1 tokens, found none"):
        fit(tiny_config(**changes), tmp_path)


@backend_free
def test_the_checkpoint_s_state_is_plain():
    state = TrainingState(step=3, best_loss=0.5, history=[{"step": 1, "loss": 0.1 + 0.2}])
    assert TrainingState(**json.loads(json.dumps(vars(state)))) == state


@pytest.mark.slow
@backend_free
def test_a_run_goes_on_with_the_other_backend(trained, tiny_config, tiny_mapping, tmp_path, monkeypatch):
    """On JAX after step 4, and on TensorFlow again after step 8: weights and moments are either's.

    As many steps as without a stop, and figures that only rounding parts.
    """
    pytest.importorskip("jax")
    with monkeypatch.context() as patch:
        stop_after(patch.setattr, 4)
        with pytest.raises(Interrupted):
            fit(tiny_config(), tmp_path)
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "helpers.stopping", json.dumps(tiny_mapping()), str(tmp_path), "8"],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": XLA_FLAGS,
            "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]),
        },
    )
    assert done.returncode == 143, done.stderr
    metrics, whole = fit(tiny_config(), tmp_path), trained[1]
    assert (metrics["steps"], metrics["examples_seen"]) == (whole["steps"], whole["examples_seen"])
    assert metrics["loss"] == pytest.approx(whole["loss"], rel=1e-3)
    sessions = read_json(tmp_path / run_folder.ENVIRONMENT)["sessions"]
    assert [(s["from_step"], s["backend"]) for s in sessions] == [(0, "tensorflow"), (4, "jax"), (8, "tensorflow")]
    card = (tmp_path / run_folder.CARD).read_text()
    for words in (", tensorflow, float32 |\n| on, from step 4 | ", ", jax, float32 |\n| on, from step 8 | "):
        assert words in card


@backend_free
def test_mapping_and_config_are_inverse(trained, tiny_mapping):
    assert from_mapping(RunDir(trained[0]).config()) == from_mapping(tiny_mapping())
