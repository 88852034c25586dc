"""TensorBoard data, read back with TensorBoard's own readers."""

import html
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from tensorboard import plugin_util
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.util import tensor_util

from helpers.event_files import points, read, served
from textae.reporting.tensorboard import LABEL_CHARACTERS, LINE_COLUMNS, ComparedText, TensorBoardWriter, comparison

pytestmark = pytest.mark.backend_free


def projector(folder):
    from google.protobuf import text_format

    config = ProjectorConfig()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(encoding="utf-8"), config)
    return config.embeddings


def test_splits_share_their_tags(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.scalars({"loss": np.float32(2.5), "token_accuracy": 0.25}, 10)
        writer.scalars({"loss": 3}, 10, split="validation")
    assert points(tmp_path / "train", "loss") == [(10, 2.5)]
    assert points(tmp_path / "train", "token_accuracy") == [(10, 0.25)]
    assert points(tmp_path / "validation", "loss") == [(10, 3.0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "validation"]


def test_flushed_points_are_there_before_closing(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    for step in range(50):
        writer.scalars({"loss": step}, step)
    writer.flush()
    assert len(points(tmp_path / "train", "loss")) == 50
    writer.close()


def test_points_are_flushed_from_time_to_time(tmp_path, monkeypatch):
    writer = TensorBoardWriter(tmp_path)
    writer.scalars({"loss": 1.0}, 1)
    assert points(tmp_path / "train", "loss") == []
    monkeypatch.setattr("textae.reporting.tensorboard.FLUSH_SECONDS", 0.0)
    writer.scalars({"loss": 2.0}, 2)
    assert points(tmp_path / "train", "loss") == [(1, 1.0), (2, 2.0)]
    writer.close()


def test_a_continued_run_shows_no_doubles(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        for step in range(10, 160, 10):
            writer.scalars({"loss": step}, step)
            writer.scalars({"loss": step}, step, split="validation")
        writer.embeddings(np.eye(2), ["a", "b"], 100)
        writer.embeddings(np.eye(2), ["a", "b"], 150)
    with TensorBoardWriter(tmp_path) as writer:
        writer.purge_from(101)
        writer.scalars({"loss": -1.0}, 125)
    expected = [(step, step) for step in range(10, 110, 10)]
    assert points(tmp_path / "train", "loss") == [*expected, (125, -1.0)]
    assert points(tmp_path / "validation", "loss") == expected
    assert served(tmp_path / "train", "loss") == [*expected, (125, -1.0)]
    assert served(tmp_path / "validation", "loss") == expected
    assert [entry.tensor_name for entry in projector(tmp_path / "validation")] == ["latents, step 100"]
    assert not (tmp_path / "test").exists()


def test_purging_everything_leaves_an_empty_projector(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.embeddings(np.eye(2), ["a", "b"], 5)
        writer.purge_from(0)
    assert not (tmp_path / "validation" / "projector_config.pbtxt").exists()
    assert list((tmp_path / "validation" / "projector").iterdir()) == []


def test_writers_opened_in_one_second_do_not_overwrite_each_other(tmp_path):
    for step in range(3):
        with TensorBoardWriter(tmp_path) as writer:
            writer.scalars({"loss": step}, step)
    assert [step for step, _ in points(tmp_path / "train", "loss")] == [0, 1, 2]


def lines_of(shown):
    """The lines of HTML's pre elements, without tags, each element's line break at its end left out."""
    blocks = re.findall(r"<pre>(.*?)\n</pre>", shown, re.DOTALL)
    return [html.unescape(re.sub("<.*?>", "", block)).split("\n") for block in blocks]


def test_texts_survive_the_sanitiser(tmp_path):
    original = ["The", " cat", " <b>&amp;", " *x*", "|`y`", "\n", "\x02", "好"]
    text = ComparedText("worst: 2 of 8", original, ["The", " horse", *original[2:7]])
    with TensorBoardWriter(tmp_path) as writer:
        writer.texts("reconstructions", [text, text], 7)
    (event,) = read(tmp_path / "validation").Tensors("reconstructions/text_summary")
    assert event.step == 7
    (written,) = tensor_util.make_ndarray(event.tensor_proto).ravel().tolist()
    shown = plugin_util.markdown_to_safe_html(written)
    assert shown.count("<h4>worst: 2 of 8</h4>") == 2
    same = " &lt;b&gt;&amp;amp; *x*|`y`⏎␂"
    assert f"The<strong>[␣cat]</strong>  {same}<strong>[好]</strong>\n" in shown
    assert f"The<strong>[␣horse]</strong>{same}<strong>[∅]</strong> \n" in shown
    first, second = lines_of(shown)
    assert first == second
    assert first[0].index(" <b>") == first[1].index(" <b>") == len("The[␣horse]")


def test_lone_surrogates_can_be_written(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.texts("reconstructions", [ComparedText("typical", ["\ud800"], ["a"])], 0)
        writer.embeddings(np.eye(1), ["\ud800"], 0)
    assert len(read(tmp_path / "validation").Tensors("reconstructions/text_summary")) == 1


def test_both_sides_break_their_lines_at_the_same_pieces():
    pieces = [f" word{number}" for number in range(60)]
    shown = comparison([ComparedText("typical", pieces, [*pieces[:30], " other", *pieces[31:], " more"])])
    (lines,) = lines_of(shown)
    assert len(lines) > 8
    assert lines[2::3] == [" "] * (len(lines) // 3)
    assert max(map(len, lines)) <= LINE_COLUMNS
    assert [len(line) for line in lines[0::3]] == [len(line) for line in lines[1::3]]
    assert "".join(lines[0::3]).replace("[␣word30]", " word30").replace("[∅]    ", "") == "".join(pieces)


def test_wide_characters_take_two_columns():
    ((first, second),) = lines_of(comparison([ComparedText("worst", ["好好", "x"], ["ab", "x"])]))
    assert (first, second) == ("[好好]x", "[ab]  x")
    ((first, second),) = lines_of(comparison([ComparedText("worst", ["e\u0301", "x"], ["a", "x"])]))
    assert (first, second) == ("[e\u0301]x", "[a]x")


def test_figures_keep_their_size(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.figures("quality", Figure(figsize=(3, 2), dpi=50), 4)
    (event,) = read(tmp_path / "validation").Images("quality")
    assert (event.step, event.width, event.height) == (4, 150, 100)
    assert event.encoded_image_string.startswith(b"\x89PNG")


def test_histograms_count_finite_values(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.histograms({"latents": [[1.0, -2.0], [np.nan, np.inf]], "empty": []}, 3, split="train")
    events = read(tmp_path / "train")
    (event,) = events.Histograms("latents")
    assert (event.histogram_value.num, event.histogram_value.min, event.histogram_value.max) == (2, -2, 1)
    assert events.Tags()["histograms"] == ["latents"]


def test_hparams_of_a_run(tmp_path):
    settings = {
        "learning_rate": 0.5,
        "size": np.int64(8),
        "mixed": True,
        "strides": [2, 2],
        "name": "x",
        "no": None,
    }
    with TensorBoardWriter(tmp_path) as writer:
        writer.hparams(settings, 1000)
        writer.scalars({"loss": 0.25, "bleu": 90}, 1000, "test")
    content = read(tmp_path / "test").PluginTagToContent("hparams")
    assert set(content) == {hparams_metadata.SESSION_START_INFO_TAG, hparams_metadata.SESSION_END_INFO_TAG}
    start = hparams_metadata.parse_session_start_info_plugin_data(content[hparams_metadata.SESSION_START_INFO_TAG])
    written = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert written == {
        "learning_rate": 0.5,
        "size": 8.0,
        "mixed": True,
        "strides": "[2, 2]",
        "name": "x",
        "no": "None",
    }
    assert points(tmp_path / "test", "loss") == [(1000, 0.25)]
    assert points(tmp_path / "test", "bleu") == [(1000, 90.0)]


def test_embeddings_and_their_labels(tmp_path):
    latents = np.array([[1.5, -2.0], [0.1, 3e-8], [7.0, 1.0]])
    with TensorBoardWriter(tmp_path) as writer:
        writer.embeddings(latents, {"text": ["a\tb\nc", "", "x" * 500], "class": [1, 2, 1]}, 20)
        writer.embeddings(latents, ["one", " ", "three"], 30)
    newest, oldest = projector(tmp_path / "validation")
    assert (newest.tensor_name, oldest.tensor_name) == ("latents, step 30", "latents, step 20")
    folder = tmp_path / "validation"
    np.testing.assert_allclose(np.loadtxt(folder / newest.tensor_path, delimiter="\t"), latents, rtol=1e-5)
    columns = (folder / oldest.metadata_path).read_text(encoding="utf-8").split("\n")
    assert columns == ["text\tclass", "a⇥b⏎c\t1", "(empty)\t2", "x" * (LABEL_CHARACTERS - 1) + "…\t1", ""]
    assert (folder / newest.metadata_path).read_text(encoding="utf-8") == "one\n(empty)\nthree\n"
    assert list(folder.glob("events.out.tfevents.*"))


def test_nonsense_is_refused(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="train, validation, test as split, received 'dev'"):
            writer.scalars({"loss": 1.0}, 0, split="dev")
        with pytest.raises(ValueError, match="received a mapping for 'model'"):
            writer.hparams({"model": {"size": 8}}, 0)
        with pytest.raises(ValueError, match=r"received shape \(2, 2\) and \[3\] labels"):
            writer.embeddings(np.eye(2), ["a", "b", "c"], 0)
        with pytest.raises(ValueError, match=r"received shape \(2, 2\) and \[\] labels"):
            writer.embeddings(np.eye(2), {}, 0)
        with pytest.raises(ValueError, match=r"received shape \(2,\)"):
            writer.embeddings(np.zeros(2), ["a", "b"], 0)
    assert list(tmp_path.iterdir()) == []


def test_writes_without_tensorflow(tmp_path):
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from textae.reporting.tensorboard import ComparedText, TensorBoardWriter\n"
        "from textae.reporting.figures import latent_dimensions\n"
        "with TensorBoardWriter(sys.argv[1]) as writer:\n"
        "    writer.scalars({'loss': 1.0}, 1)\n"
        "    writer.texts('texts', [ComparedText('typical', ['a'], ['b'])], 1)\n"
        "    writer.figures('variance', latent_dimensions([1.0], 0.1, 'x'), 1)\n"
        "    writer.histograms({'latents': [1.0, 2.0]}, 1)\n"
        "    writer.hparams({'size': 1}, 1)\n"
        "    writer.embeddings([[1.0, 2.0]], ['a'], 1)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
    assert points(tmp_path / "train", "loss") == [(1, 1.0)]
