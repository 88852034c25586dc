"""Comparing run folders: what must be equal to the bit when a run is repeated, stopped or killed."""

import csv

import numpy as np
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from textae.runs import run_folder
from textae.runs.arrays import read_arrays
from textae.runs.json_files import read_json

# Settings of a run that takes a moment.
SMALL = [
    "corpus=text", "corpus.test_share=0.1", "corpus.validation_share=0.1", "tokenizer=bytes", "model.channels=[8,8]",
    "model.latent_size=4", "model.max_length=32", "training.max_steps=1", "training.tokens_per_batch=256",
    "training.num_length_buckets=1", "training.warmup_steps=1", "training.validation_documents=5",
    "training.num_logged_samples=1",
]  # fmt: skip
# A short run with all that a continuation must take up again: noise, averages, accumulated gradients, patience.
NOISY = [
    "corpus=text", "corpus.validation_share=0.1", "corpus.test_share=0.1", "tokenizer.vocabulary_size=300",
    "model.channels=[8,16]", "model.latent_size=8", "model.max_length=32", "model.latent_noise=0.2",
    "training.corruption.mask=0.1", "model.residual_dropout=0.1", "training.max_steps=6",
    "training.tokens_per_batch=512",
    "training.num_length_buckets=2", "training.warmup_steps=3", "training.learning_rate=0.03",
    "training.log_every_steps=2",
    "training.eval_every_steps=2", "training.validation_documents=20", "training.precision=float32",
    "training.num_logged_samples=2", "training.ema_decay=0.8", "training.gradient_accumulation_steps=2",
    "training.patience=2",
    "training.checkpoint_every_minutes=0",
]  # fmt: skip
TIMES = {"train_seconds", "tokens_per_second", "peak_memory_mb"}


def same_result(first, second):
    """Check that two runs have the same files of weights, and the same figures but for times."""
    for name in (run_folder.WEIGHTS, run_folder.LAST):
        (one, described), (two, described_too) = read_arrays(first / name), read_arrays(second / name)
        assert described == described_too
        assert set(one) == set(two)
        for weight, values in one.items():
            np.testing.assert_array_equal(values, two[weight], err_msg=f"{name} {weight}")
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    one, two = (read_json(folder / run_folder.METRICS) for folder in (first, second))
    assert {k: v for k, v in one.items() if k not in TIMES} == {k: v for k, v in two.items() if k not in TIMES}


def same_run(first, second):
    """Check that two runs have the same result, and the same history, events and files."""
    same_result(first, second)
    assert history(first) == history(second)
    one, two = events(first), events(second)
    assert set(one) == set(two)
    for key, points in one.items():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), f"{key}: a step twice, or a jump back"
        assert points == two[key], key
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}


def events(folder):
    """All that TensorBoard shows of a run: (split, tag) to steps and values, values of times left out.

    Read as TensorBoard itself reads: the older `event_accumulator` does not drop texts that were written again.
    """
    found = {}
    for split in ("train", "validation", "test"):
        whole = {"scalars": 0, "images": 0, "text": 0, "histograms": 0}
        read = EventAccumulator(str(folder / split), size_guidance={"tensors": 0}, tensor_size_guidance=whole)
        read.Reload()
        for tag in read.Tags()["tensors"]:
            timed = tag.rpartition("/")[2] in TIMES
            found[split, tag] = [
                (e.step, None if timed else e.tensor_proto.SerializeToString()) for e in read.Tensors(tag)
            ]
    return found


def history(folder):
    with (folder / run_folder.HISTORY).open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
