"""Long documents, memory, numbers that are not finite."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.runs import NOISY, same_run
from textae.data.batching import Batches
from textae.evaluation.evaluator import evaluate
from textae.runs import run_folder
from textae.runs.arrays import read_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir

pytestmark = pytest.mark.backend_free

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5000), min_size=1, max_size=20),
    kind=st.sampled_from(["split", "truncate"]),
    tokens_per_batch=st.sampled_from([64, 100, 1000]),
)
def test_no_batch_is_larger_than_it_may_be_however_long_a_document_is(lengths, kind, tokens_per_batch):
    documents = [np.full(length, 5) for length in lengths]
    batches = Batches(
        documents, max_length=64, stride=4, tokens_per_batch=tokens_per_batch, length_buckets=3, overflow=kind
    )
    made = list(batches.epoch(0))
    assert all(batch.tokens.size <= tokens_per_batch for batch in made)
    kept = sum(int(batch.lengths.sum()) for batch in made)
    if kind == "split":
        assert kept == sum(lengths) + len(lengths)
        assert batches.segments.split == sum(length + 1 > 64 for length in lengths)
    else:
        assert kept == sum(min(length + 1, 64) for length in lengths)
        assert batches.segments.truncated == sum(length + 1 > 64 for length in lengths)


def test_documents_that_are_too_long_are_counted(trained):
    import textae

    texts = ["a tree", "the red house " * 50, "a river"]
    metrics = evaluate(textae.load(trained[0]), texts).metrics
    assert (metrics["documents"], metrics["documents_truncated"], metrics["documents_dropped"]) == (3, 0, 0)
    assert metrics["tokens"] == sum(len(text) + 1 for text in texts)
    autoencoder = textae.load(trained[0])
    autoencoder.codec.overflow = "truncate"
    metrics = evaluate(autoencoder, texts).metrics
    assert (metrics["documents"], metrics["documents_truncated"], metrics["documents_dropped"]) == (3, 1, 0)
    autoencoder.codec.overflow = "drop"
    metrics = evaluate(autoencoder, texts).metrics
    assert (metrics["documents"], metrics["documents_truncated"], metrics["documents_dropped"]) == (2, 0, 1)


@pytest.mark.slow
@pytest.mark.compiled  # for many steps this is faster
def test_memory_and_files_stay_as_they_are_over_many_steps(tmp_path):
    from soak import growth, soak

    found = soak(1200, tmp_path, validations=30)
    assert len(found) == 30 and found[-1][0] == 1200
    memory, files = growth(found)
    assert memory < 0.05, found
    assert files <= 0, found


@pytest.fixture
def arguments(corpus_file, tmp_path):
    return [*NOISY, f"corpus.files=[{corpus_file}]", f"data_dir={tmp_path / 'data'}"]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_can_be_skipped(forks, arguments, tmp_path):
    """The same command stops at the same place; with skip it is as if it always had skipped."""
    broken = {"break_one_in": 5}
    skip = "training.on_nonfinite=skip"
    skipped = forks.run([*arguments, skip, f"hydra.run.dir={tmp_path / 'skipped'}"], **broken)
    assert skipped.code == 0, skipped
    metrics = read_json(tmp_path / "skipped" / run_folder.METRICS)
    assert 1 <= metrics["steps_skipped"] < metrics["steps"] == 6
    assert skipped.errors.count("skipped an update (") == metrics["steps_skipped"]
    assert np.isfinite(metrics["loss"])

    run = RunDir(tmp_path / "stopped")
    said = []
    for _ in range(2):
        stopped = forks.run([*arguments, f"hydra.run.dir={run.folder}"], **broken)
        assert stopped.code == 1
        said.append(stopped.errors.splitlines()[-1])
        assert "Traceback" not in stopped.errors
        assert all(np.isfinite(array).all() for array in read_arrays(run / run_folder.CHECKPOINT)[0].values())
        assert not run.finished
    assert said[0] == said[1]
    for part in (
        "expected a finite loss, found nan",
        "at step ",
        "learning rate 0.0",
        "train documents ",
        "=skip goes on",
    ):
        assert part in said[0]
    gone_on = forks.run([*arguments, skip, f"hydra.run.dir={run.folder}"], **broken)
    assert gone_on.code == 0, gone_on
    same_run(tmp_path / "skipped", run.folder)


@pytest.mark.slow
def test_skipping_everything_comes_to_an_end(forks, arguments, tmp_path):
    settings = [
        *arguments,
        "training.on_nonfinite=skip",
        "training.max_steps=1000",
        "training.checkpoint_every_minutes=9",
    ]
    settings += [
        "training.gradient_accumulation_steps=1",
        "training.eval_every_steps=1000",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    ended = forks.run(settings, break_one_in=1, eager=False)
    assert ended.code == 1
    assert ended.errors.splitlines()[-1].endswith("the last of 100 in a row")
    assert "at step 100, " in ended.errors
