"""What a run leaves for TensorBoard, read back with TensorBoard's own readers."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from textae.data.batching import Batches
from textae.data.tokenizers import train_tokenizer
from textae.evaluation.evaluator import Evaluation, Points, Sample
from textae.evaluation.latent_statistics import LatentStatistics
from textae.reporting.reporter import WEIGHTS_COUNTED, Reporter, _compared, _some, overlong_documents
from textae.runs.run_folder import RunDir
from textae.training.state import TrainingState

pytestmark = pytest.mark.backend_free

JUDGED = {
    "loss", "token_accuracy", "exact_match", "bleu", "cer", "wer", "rouge1", "rouge2", "length_accuracy",
    "sentence_bleu2", "sentence_bleu3", "sentence_bleu4",
}  # fmt: skip
FIGURES = {"quality_by_length", "accuracy_by_position", "latent_variance"}


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0, "histograms": 0})
    events.Reload()
    return events


def test_scalars_of_train_and_validation_share_a_chart(trained):
    folder, metrics = trained
    train, validation, test = (read(folder / split) for split in ("train", "validation", "test"))
    assert set(train.Tags()["scalars"]) == {
        "loss", "token_accuracy", "gradient_norm", "learning_rate", "tokens_per_second"
    }  # fmt: skip
    assert [event.step for event in train.Scalars("loss")] == [4, 8, 12]
    assert set(validation.Tags()["scalars"]) == JUDGED | {"active_units"}
    history = list(csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")))
    for tag in JUDGED:
        written = [(event.step, event.value) for event in validation.Scalars(tag)]
        assert written == [(int(row["step"]), pytest.approx(float(row[tag]), rel=1e-6)) for row in history]
    shown = {tag.removeprefix("run/"): test.Scalars(tag)[0].value for tag in test.Tags()["scalars"]}
    assert shown == {name: pytest.approx(value, rel=1e-6) for name, value in metrics.items()}
    assert {tag for tag in test.Tags()["scalars"] if "/" not in tag} == JUDGED | {
        "active_units", "random_token_accuracy", "tokens_per_second"
    }  # fmt: skip


@pytest.mark.parametrize("split", ["validation", "test"])
def test_figures_texts_and_histograms(trained, split):
    folder, _ = trained
    events = read(folder / split)
    assert set(events.Tags()["images"]) == FIGURES
    weights = {name for name in events.Tags()["histograms"] if name.startswith("weights/")}
    assert "weights/encoder/embedding/embeddings" in weights
    assert set(events.Tags()["histograms"]) - weights == {"latents"}
    (text,) = tensor_util.make_ndarray(events.Tensors("reconstructions/text_summary")[-1].tensor_proto).ravel()
    assert re.findall(r"<h4>(\w+): [\d,]+ of [\d,]+ tokens wrong", text.decode()) == ["worst", "typical"]


def test_weights_are_counted_whole_or_in_part(trained, tiny_config, tmp_path, monkeypatch):
    folder, _ = trained
    embedding = read(folder / "test").Histograms("weights/encoder/embedding/embeddings")[0].histogram_value
    assert embedding.num == 258 * 16
    monkeypatch.setattr("textae.reporting.reporter.WEIGHTS_COUNTED", 1000)
    weight = SimpleNamespace(value=np.arange(2500.0).reshape(50, 50))
    judge = SimpleNamespace(model=SimpleNamespace(stride=1, named_weights=lambda: {"w": weight}))
    with Reporter(RunDir(tmp_path), tiny_config(), TrainingState()) as reporter:
        reporter._pictures(judge, evaluated(), 1, "validation")
    counted = read(tmp_path / "validation").Histograms("weights/w")[0].histogram_value
    assert counted.num == 1000 and counted.min < 50 and counted.max > 2450


@pytest.mark.parametrize("shape", [(20_000, 128), (3, 100_000), (50, 49, 128)])
def test_a_weight_s_sample_is_of_all_its_rows_and_columns(shape):
    columns = np.broadcast_to(np.arange(shape[-1]), shape)
    found = np.bincount(_some(columns).astype(int), minlength=shape[-1])
    expected = WEIGHTS_COUNTED / shape[-1]
    assert found.sum() == WEIGHTS_COUNTED
    assert np.abs(found - expected).max() < 6 * np.sqrt(expected)
    np.testing.assert_array_equal(_some(columns), _some(columns))


def evaluated(kl=None):
    latents = LatentStatistics()
    latents.update(np.eye(3, dtype=np.float32), kl)
    row = SimpleNamespace(low=0, high=None, documents=1, token_accuracy=1.0, exact_match=1.0, sentence_bleu4=1.0)
    points = Points([np.zeros(3), np.ones(3)], [0, 2], ["first", "third"], [5, 7], [0.5, 1.0])
    one = np.ones(1, np.int64)
    return Evaluation({}, [row], one, one, np.ones(1), one, latents, [], points)


def test_a_variational_model_shows_its_divergence(tiny_config, tmp_path):
    judge = SimpleNamespace(model=SimpleNamespace(stride=1, named_weights=dict))
    with Reporter(RunDir(tmp_path), tiny_config(), TrainingState()) as reporter:
        reporter._pictures(judge, evaluated(np.ones((3, 3), np.float32)), 1, "test")
    assert set(read(tmp_path / "test").Tags()["images"]) == FIGURES | {"latent_kl"}


def test_points_have_text_and_label(tiny_config, tmp_path):
    corpus = SimpleNamespace(labelled=True, labels=lambda split: iter(["good", "left out", "bad", "beyond"]))
    with Reporter(RunDir(tmp_path), tiny_config(), TrainingState()) as reporter:
        reporter._points(evaluated(), corpus, 9)
        reporter._points(evaluated(), SimpleNamespace(labelled=False), 10)
    folder = tmp_path / "test" / "projector"
    assert (folder / "0000000009.labels.tsv").read_text().splitlines() == [
        "text\tlabel\ttokens\ttoken_accuracy",
        "first\tgood\t5\t0.5000",
        "third\tbad\t7\t1.0000",
    ]
    assert (folder / "0000000010.labels.tsv").read_text().startswith("text\ttokens\t")
    np.testing.assert_array_equal(np.loadtxt(folder / "0000000009.latents.tsv"), [[0, 0, 0], [1, 1, 1]])


def test_a_run_s_points_are_its_test_documents(trained):
    folder, metrics = trained
    (labels,) = (folder / "test" / "projector").glob("*.labels.tsv")
    names, *rows = [line.split("\t") for line in labels.read_text(encoding="utf-8").splitlines()]
    assert names == ["text", "tokens", "token_accuracy"]
    assert len(rows) == metrics["documents"]
    tokens = sum(int(row[1]) for row in rows)
    assert tokens == metrics["tokens"]
    right = sum(int(row[1]) * float(row[2]) for row in rows)
    assert right / tokens == pytest.approx(metrics["token_accuracy"], abs=1e-4)
    assert all(len(text.encode()) + 1 == int(count) for text, count, _ in rows)


def ids_of(tokenizer, text):
    return tokenizer.encode([text])[0]


def test_bytes_of_one_character_stay_together():
    tokenizer = train_tokenizer("bytes", [])
    original, answer = ids_of(tokenizer, "a日本!"), ids_of(tokenizer, "a目本!?")
    text = _compared(tokenizer, Sample("worst", 0.5, original, answer))
    assert (text.original, text.reconstruction) == (["a", "日", "本", "!"], ["a", "目", "本", "!", "?"])
    assert text.heading.startswith("worst: 4 of 9 tokens wrong")  # three bytes, and one more at the end
    broken = _compared(tokenizer, Sample("worst", 0.5, original, answer[:3]))
    assert broken.original == ["a", "日", "本", "!"]
    assert broken.reconstruction == ["a", "\ufffd"]
    assert broken.heading.startswith("worst: 7 of 8 tokens wrong")


def test_a_long_document_is_shown_in_part():
    tokenizer = train_tokenizer("bytes", [])
    text = _compared(tokenizer, Sample("typical", 1.0, ids_of(tokenizer, "a" * 1000), ids_of(tokenizer, "a" * 990)))
    assert text.original == text.reconstruction == ["a"] * 300
    assert "10 of 1,000 tokens wrong" in text.heading
    assert text.heading.endswith("the first 300 shown")


def test_words_are_shown_apart():
    tokenizer = train_tokenizer("words", ["one two"])
    text = _compared(tokenizer, Sample("typical", 1.0, ids_of(tokenizer, "one two"), ids_of(tokenizer, "two")))
    assert text.original == ["one ", "two "]
    assert text.reconstruction == ["two "]


def test_the_last_lines_say_what_opens_the_run(tiny_config, tmp_path, capsys):
    metrics = dict.fromkeys(("loss", "token_accuracy", "exact_match", "bleu", "cer"), 0.5)
    judge = SimpleNamespace(model=SimpleNamespace(stride=1, named_weights=dict))
    with Reporter(RunDir(tmp_path), tiny_config(), TrainingState()) as reporter:
        state = SimpleNamespace(step=3, best_step=2)
        reporter.ends(judge, evaluated(), metrics, state, SimpleNamespace(labelled=False))
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == f"to look at the run: tensorboard --logdir {tmp_path}"
    assert said.out == ""
    assert "\x1b" not in said.err


def test_metrics_json_and_the_board_agree(trained):
    folder, metrics = trained
    assert json.loads((folder / "metrics.json").read_text()) == pytest.approx(metrics)


@pytest.mark.parametrize(
    ("overflow", "said"),
    [
        ("split", "and are split into segments"),
        ("truncate", "and are truncated: 40.0 % of the train tokens; a larger model.max_length keeps more of them"),
        ("drop", "and are left out: 80.0 % of the train tokens; a larger model.max_length keeps more of them"),
    ],
)
def test_what_is_lost_of_long_documents_is_said_at_the_start(overflow, said):
    """Lengths with the end: 4, 4, 12 and 20 of 40 tokens; 8 and 8 of the last two fit."""
    documents = [[5] * length for length in (3, 3, 11, 19)]
    batches = Batches(documents, max_length=8, stride=4, tokens_per_batch=64, overflow=overflow)
    assert overlong_documents(batches, 8) == f"2 of 4 documents (50.0 %) have more than 8 tokens {said}"
    assert overlong_documents(Batches(documents[:2], max_length=8, stride=4, tokens_per_batch=64), 8) is None
