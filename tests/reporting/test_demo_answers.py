"""What the demo page answers, without Gradio: the package's own results as HTML, texts as they are."""

import gzip
import html
import re

import pytest

import textae
from textae.evaluation.curves import train_latents
from textae.evaluation.metrics import step_sizes
from textae.evaluation.single_text import LatentChannel
from textae.reporting import demo_answers
from textae.reporting.demo_answers import DemoAnswers, lines_of
from textae.reporting.demo_views import shown_text
from textae.reporting.latent_picture import SHOWN, latent_picture

pytestmark = pytest.mark.backend_free

TEXT = "the small red house"
HOSTILE = "<b>x</b> {{7*7}} ${1+1} `a` \x1b[2J\u202e&amp;"


@pytest.fixture(scope="module")
def ae(trained):
    return textae.load(trained[0])


@pytest.fixture(scope="module")
def answers(ae, corpus_file):
    texts = corpus_file.read_text().splitlines()
    return DemoAnswers(ae, LatentChannel(train_latents(ae, texts)), lambda: texts)


def rows(shown):
    """The cells of each row of a page's tables, as text."""
    found = re.findall(r"<tr>(.*?)</tr>", shown, flags=re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL) for row in found]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells if row]


def plain(shown, kind):
    """The text of one side, without its marks."""
    (side,) = re.findall(rf"<div class='text {kind}'>(.*?)</div>", shown, flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]*>", "", side))


def test_a_reconstruction_with_its_wrong_tokens_marked(answers, ae):
    shown, picture = answers.reconstruction(TEXT, 0.0, 32, 0)
    reconstructed = ae.reconstruct([TEXT])[0]
    wrong = sum(a != b for a, b in zip(TEXT, reconstructed, strict=False)) + abs(len(TEXT) - len(reconstructed))
    assert plain(shown, "original").replace("␣", " ").replace("∅", "") == TEXT
    marked = re.findall("<mark class='wrong'>(.*?)</mark>", shown)
    assert len(marked) == len(re.findall("<mark class='right'>", shown)) == wrong
    assert f"of {len(TEXT) + 1}</b>" in shown and "stored" in shown and "at most" not in shown
    assert picture.count("data:image/png;base64,") == 1
    assert "5 latents of 16 floats" in picture
    noisy, both = answers.reconstruction(TEXT, 0.9, 2, 1)
    assert "bits per token that the noise leaves at most" in noisy
    assert len(re.findall("<mark class='wrong'>", noisy)) > 5
    assert len(both) > len(picture)
    assert answers.reconstruction(TEXT, 0.9, 2, 1) == (noisy, both) != answers.reconstruction(TEXT, 0.9, 2, 2)


@pytest.mark.parametrize("text", ["", HOSTILE, "日本 naïve\n\ttwo lines", "x" * 5000])
def test_any_text_is_shown_as_it_is(answers, text):
    shown, _ = answers.reconstruction(text, 0.0, 32, 0)
    assert "<b>x" not in shown and not re.search(r"[{}$`\x1b\u202e]", shown)
    assert f"of {len(text.encode()) + 1:,}</b>" in shown
    assert ("The first 2,000 tokens are shown" in shown) == (len(text) > 2000)


def test_shown_text():
    assert html.unescape(shown_text("a <b>\n\t{x}")) == "a <b>\n⇥{x}"
    assert shown_text("{<&'\x00") == "&#123;&lt;&amp;&#x27;\\x00"


def test_texts_between_two_others(answers, ae):
    shown = answers.interpolation(TEXT, "often a river runs", 5)
    texts = ae.interpolate(TEXT, "often a river runs", 5)
    sizes = step_sizes(texts)
    assert [row[1] for row in rows(shown)] == ["", *(f"{size:.2f}" for size in sizes)]
    assert [row[0] for row in rows(shown)] == list("12345")
    assert [row[3] for row in rows(shown)] == [html.unescape(shown_text(text)) for text in texts]
    assert f"0.25 each; these are {min(sizes):.2f} to {max(sizes):.2f}, and {sum(sizes):.2f} together" in shown
    with pytest.raises(ValueError, match=r"expected steps of at least 2, .* received 1"):
        answers.interpolation("a", "b", 1)


def test_neighbours_beside_those_by_a_bag_of_words(answers, ae, tmp_path):
    documents = ["a large tree", TEXT, HOSTILE, "the small red river"]
    pasted = "\n".join(documents)
    shown = answers.neighbours(TEXT, pasted, None, 3, True)
    assert shown.index("by latents") < shown.index("by bag of words") and "<b>x" not in shown
    expected = [[f"{n.similarity:.4f}", f"{n.number + 1}", n.text] for n in ae.neighbours([TEXT], documents, 3)[0]]
    assert rows(shown)[0] == ["1.0000", "2", TEXT] == rows(shown)[3]
    assert rows(shown)[:2] == expected[:2] and len(rows(shown)) == 6
    file = tmp_path / "documents.txt.gz"
    file.write_bytes(gzip.compress(pasted.encode()))
    assert answers.neighbours(TEXT, "", str(file), 3, True) == shown
    assert rows(answers.neighbours(TEXT, pasted, None, 3, False)) == rows(shown)[:3]


def test_anomalies_come_first(answers, ae, monkeypatch):
    log = ["the red house", "qzjw vkQ%&", "a river runs often"]
    scores = ae.score(log)
    order = sorted(range(3), key=lambda i: -scores[i])
    shown = rows(answers.anomalies("\n".join(log), None, False))
    assert shown == [[f"{scores[i]:.4f}", f"{i + 1}", log[i]] for i in order] and order[0] == 1
    both = rows(answers.anomalies("\n".join(log), None, True))
    assert len(both[0]) in (6, 7) and [row[0] for row in both] == [row[0] for row in shown]
    assert float(both[0][1]) == 1.0  # no trigram of it was seen
    fitted = answers._fitted
    answers.anomalies("a", None, True)
    assert answers._fitted is fitted
    monkeypatch.setattr("textae.reporting.demo_views.SHOWN_ROWS", 2)
    shown = answers.anomalies("\n".join(log), None, False)
    assert "3 lines, the first 2 shown" in shown and len(rows(shown)) == 2


def test_what_is_refused(answers, ae, tmp_path, monkeypatch):
    for pasted, file, found in (("", None, "neither"), ("a", "b.txt", "both")):
        with pytest.raises(ValueError, match=f"expected lines that are pasted or a file, found {found}"):
            lines_of(pasted, file)
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match="expected 1 to 20,000 lines, found none"):
        lines_of("", str(empty))
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\xfe\xfd\n")
    with pytest.raises(ValueError, match="line 2"):
        lines_of("", str(tmp_path / "bad.txt"))
    with pytest.raises(ValueError, match="line 1"):
        lines_of("\ud800", None)
    monkeypatch.setattr(demo_answers, "MOST_LINES", 2)
    assert lines_of("a\nb", None) == ["a", "b"]
    with pytest.raises(ValueError, match="expected 1 to 2 lines, found more; commands take any number"):
        lines_of("a\nb\nc", None)
    for seed in (-1, None):
        with pytest.raises(ValueError, match=f"expected a seed of at least 0, received {seed}"):
            answers.reconstruction(TEXT, 0.5, 32, seed)
    alone = DemoAnswers(ae)
    assert alone.reconstruction(TEXT, 0.0, 32, 0) == answers.reconstruction(TEXT, 0.0, 32, 0)
    with pytest.raises(ValueError, match="expected latents of the train split"):
        alone.reconstruction(TEXT, 0.5, 32, 0)
    with pytest.raises(ValueError, match="expected the corpus of the run"):
        alone.anomalies("a", None, True)


def test_a_picture_of_latents():
    import numpy as np

    values = np.arange(900, dtype=np.float32)[None] - 450
    (axes, bar) = latent_picture([("latents", values)]).axes
    grid = np.asarray(axes.images[0].get_array())
    assert grid.size >= 900 and np.array_equal(grid.ravel()[:900].astype(int), values[0].astype(int))
    assert axes.images[0].get_clim() == (-450, 450) and bar is not axes
    rows = np.random.default_rng(0).standard_normal((SHOWN + 9, 5))
    one, two, _ = latent_picture([("a", rows), ("b", rows)], [f"$x_{i}$ and more of it" for i in range(SHOWN)]).axes
    assert one.images[0].get_array().shape == two.images[0].get_array().shape == (SHOWN, 5)
    assert one.get_yticklabels()[1].get_text() == r"\$x_1\$ and more of…"
