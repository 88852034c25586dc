"""What a run leaves for TensorBoard, read back with TensorBoard's own readers."""

import csv
import io
import json
import re
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from textae.data.batching import Batches
from textae.data.tokenizers import train_tokenizer
from textae.evaluation.evaluator import Evaluation, Points, Sample
from textae.evaluation.latent_statistics import LatentStatistics
from textae.reporting.loggers.tensorboard import TensorBoardLogger, tag
from textae.reporting.reporter import WEIGHTS_COUNTED, Reporter, _compared, _some, overlong_documents
from textae.runs.run_folder import RunDir
from textae.training.state import TrainingState

pytestmark = pytest.mark.backend_free

JUDGED = {
    "loss", "token_accuracy", "exact_match", "bleu", "cer", "wer", "rouge1", "rouge2", "length_accuracy",
    "sentence_bleu2", "sentence_bleu3", "sentence_bleu4",
}  # fmt: skip
FIGURES = {"6_figures/quality_by_length", "6_figures/accuracy_by_position", "4_latent/latent_variance"}


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0, "histograms": 0})
    events.Reload()
    return events


def test_scalars_of_train_and_validation_share_a_chart(trained):
    folder, metrics = trained
    train, validation, test = (read(folder / split) for split in ("train", "validation", "test"))
    assert set(train.Tags()["scalars"]) == {
        "1_quality/loss", "1_quality/token_accuracy", "3_training/gradient_norm", "3_training/learning_rate",
        "5_speed/tokens_per_second",
    }  # fmt: skip
    assert [event.step for event in train.Scalars("1_quality/loss")] == [4, 8, 12]
    assert set(validation.Tags()["scalars"]) == {tag(name) for name in JUDGED | {"active_units"}}
    history = list(csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")))
    for name in JUDGED:
        written = [(event.step, event.value) for event in validation.Scalars(tag(name))]
        assert written == [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-6)) for row in history]
    shown = {name: test.Scalars(name)[0].value for name in test.Tags()["scalars"]}
    assert shown == {tag(name): pytest.approx(value, rel=1e-6) for name, value in metrics.items()}


def test_groups_stand_in_order_with_loss_and_accuracy_first(trained):
    """TensorBoard sorts by name; it draws a first group of loss and accuracy, for which train has curves too."""
    tags = sorted(read(trained[0] / "test").Tags()["scalars"])
    assert tags[:2] == ["1_quality/loss", "1_quality/token_accuracy"]
    groups = list(dict.fromkeys(name.partition("/")[0] for name in tags))
    assert groups == ["1_quality", "2_quality_details", "3_training", "4_latent", "5_speed", "8_run"]
    assert {name for name in tags if name.startswith("8_run/")} == {
        "8_run/documents", "8_run/documents_dropped", "8_run/documents_truncated", "8_run/examples_seen",
        "8_run/latent_floats_per_token", "8_run/parameters", "8_run/steps", "8_run/tokens",
    }  # fmt: skip


def test_another_objective_is_before_all_others(tiny_config, tmp_path):
    with closing(TensorBoardLogger(tmp_path, "bleu")) as logger:
        logger.settings({"training.seed": 3, "data_dir": "x", "objective": "bleu"})
        logger.scalars({"loss": 1.0, "bleu": 50.0}, 5, "validation")
        logger.results({"loss": 2.0, "bleu": 60.0, "documents": 7.0}, 9)
    assert min(read(tmp_path / "test").Tags()["scalars"]) == "0_objective/bleu"
    assert [event.value for event in read(tmp_path / "validation").Scalars("0_objective/bleu")] == [50]
    assert [event.value for event in read(tmp_path / "test").Scalars("2_quality_details/bleu")] == [60]


def test_a_chart_puts_train_beside_validation(trained):
    """The layout of the custom-scalars dashboard: each chart's expressions find tags of this run."""
    (written,) = read(trained[0] / "train").Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(written.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert list(charts)[:2] == ["loss", "token accuracy"]
    for split in ("train", "validation"):
        tags = read(trained[0] / split).Tags()["scalars"]
        assert any(re.search(charts["loss"][0], name) for name in tags)
    every = {name for split in ("train", "validation") for name in read(trained[0] / split).Tags()["scalars"]}
    empty = [title for title, found in charts.items() if not any(re.search(f, name) for f in found for name in every)]
    assert empty == ["rate (bits per token)"]  # of noisy models


@pytest.mark.parametrize("split", ["validation", "test"])
def test_figures_texts_and_histograms(trained, split):
    folder, _ = trained
    events = read(folder / split)
    assert set(events.Tags()["images"]) == FIGURES | {"6_figures/accuracy_by_phase"}
    weights = {name for name in events.Tags()["histograms"] if name.startswith("7_weights/")}
    assert "7_weights/encoder/embedding/embeddings" in weights
    assert set(events.Tags()["histograms"]) - weights == {"4_latent/latents"}
    (text,) = tensor_util.make_ndarray(events.Tensors("reconstructions/text_summary")[-1].tensor_proto).ravel()
    assert re.findall(r"<h4>(\w+): [\d,]+ of [\d,]+ tokens wrong", text.decode()) == ["worst", "typical"]


def test_weights_are_counted_whole_or_in_part(trained, tiny_config, tmp_path, monkeypatch):
    folder, _ = trained
    embedding = read(folder / "test").Histograms("7_weights/encoder/embedding/embeddings")[0].histogram_value
    assert embedding.num == 258 * 16
    monkeypatch.setattr("textae.reporting.reporter.WEIGHTS_COUNTED", 1000)
    weight = SimpleNamespace(value=np.arange(2500.0).reshape(50, 50))
    judge = SimpleNamespace(model=SimpleNamespace(stride=1, named_weights=lambda: {"w": weight}))
    with Reporter(RunDir(tmp_path), tiny_config(), TrainingState()) as reporter:
        reporter._pictures(judge, evaluated(), 1, "validation")
    counted = read(tmp_path / "validation").Histograms("7_weights/w")[0].histogram_value
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
    assert set(read(tmp_path / "test").Tags()["images"]) == FIGURES | {"4_latent/latent_kl"}


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


SUMS = {"loss": 8.0, "correct": 3.0, "tokens": 4.0, "documents": 1.0, "gradient_norm": 0.5, "total": 8.0}


def trained_for(reporter, steps, total=20):
    """Tell a reporter of so many updates as the loop does, the loss of each of which is its number."""
    state = TrainingState()
    for step in range(1, steps + 1):
        state.step = step
        reporter.progress(step / total)
        reporter.trained(state, SUMS | {"loss": 4.0 * step}, 0.01, 0.5)


def test_lines_of_steps_say_the_share_with_that_step(tiny_config, tmp_path, capsys):
    with Reporter(RunDir(tmp_path), tiny_config(**{"training.log_every_steps": 10}), TrainingState()) as reporter:
        trained_for(reporter, 20)
    assert capsys.readouterr().err.splitlines() == [
        "step 10 (50 %): loss 5.5000 accuracy 0.7500 8 tokens/s",
        "step 20 (100 %): loss 15.5000 accuracy 0.7500 8 tokens/s",
    ]


def test_the_bar_shows_each_step(tiny_config, tmp_path, monkeypatch):
    """From the first one on, and after a point is logged the steps since then alone."""
    terminal = io.StringIO()
    monkeypatch.setattr("textae.reporting.reporter.shows_bar", lambda: True)
    monkeypatch.setattr("textae.reporting.reporter.BAR_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr", terminal)
    with Reporter(RunDir(tmp_path), tiny_config(**{"training.log_every_steps": 10}), TrainingState()) as reporter:
        trained_for(reporter, 13)
    shown = [line for line in terminal.getvalue().split("\r") if "step" in line]
    assert re.fullmatch(
        r"  5 %\|.*\| \d\d:\d\d<[\d:?]+, step 1 loss 1\.0000 accuracy 0\.7500 8 tokens/s\s*", shown[0]
    ), shown[0]
    assert "loss 5.5000" in shown[9]
    assert " 55 %" in shown[10] and "step 11 loss 11.0000" in shown[10]
    assert shown[-1].startswith(" 65 %") and "step 13 loss 12.0000" in shown[-1]
