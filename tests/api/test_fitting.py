"""`textae.fit`: what it takes, what it makes, and what it says of what it cannot take."""

import random
from pathlib import Path

import numpy as np
import pytest

import textae
from textae.runs.run_folder import RunDir

SMALL = {
    "tokenizer": "bytes",
    "model": {"strides": [4], "channels": [16, 32], "residual_blocks": [0, 1], "latent_size": 16, "max_length": 32},
    "training": {"max_steps": 3, "tokens_per_batch": 512, "validation_documents": 5, "num_logged_samples": 1},
}


@pytest.fixture
def fit(tmp_path, monkeypatch, small_pictures):
    """A function: `textae.fit` of a small model in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXTAE_DATA", raising=False)

    def call(texts, **arguments):
        return textae.fit(texts, **(SMALL | arguments))

    return call


@pytest.fixture(scope="module")
def lines():
    draw = random.Random(0)
    words = "the a small large red blue house tree river runs sleeps".split()
    return [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(60)]


class Watch(textae.Callback):
    def __init__(self, last=None):
        self.steps, self.validations, self.end, self.last = [], [], None, last

    def on_step(self, progress):
        self.steps.append((progress.step, progress.share, progress.loss))
        if progress.step == self.last:
            progress.stop()

    def on_validation(self, progress, metrics):
        self.validations.append((progress.step, metrics["loss"]))

    def on_end(self, autoencoder, metrics):
        self.end = (autoencoder, metrics)


def test_strings_are_trained_on_saved_and_loaded(fit, lines, tmp_path):
    watch = Watch()
    ae = fit(iter(lines), callbacks=[watch])
    assert [step for step, _, _ in watch.steps] == [1, 2, 3]
    assert [share for _, share, _ in watch.steps] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(loss > 0 for _, _, loss in watch.steps)
    assert [step for step, _ in watch.validations] == [3]
    assert watch.end[1] == ae.metrics and ae.metrics["steps"] == 3
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert RunDir(folder).finished
    corpus = RunDir(folder).config()["corpus"]
    assert (corpus["kind"], corpus["field"]) == ("text", "text")
    assert "corpus=text" in (folder / "README.md").read_text(encoding="utf-8")
    assert ae.save(tmp_path / "kept") == tmp_path / "kept"
    again = textae.load(tmp_path / "kept")
    np.testing.assert_array_equal(again.encode(lines[:1])[0], ae.encode(lines[:1])[0])
    assert again.reconstruct(lines[:3]) == ae.reconstruct(lines[:3])
    assert (again.metrics, repr(again)) == (ae.metrics, repr(ae))
    assert repr(ae).startswith("<TextAutoencoder default: 16 floats per 4 tokens, bytes vocabulary of 258, ")
    with pytest.raises(ValueError, match=r"expected a new folder, found a run in .*overwrite=True replaces it"):
        ae.save(tmp_path / "kept")
    ae.save(tmp_path / "kept", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").touch()
    with pytest.raises(ValueError, match="expected an empty folder or that of a run, found 'mine'"):
        ae.save(tmp_path / "other", overwrite=True)


@pytest.mark.backend_free
def test_a_callback_ends_the_training(fit, lines, tmp_path):
    watch = Watch(last=2)
    ae = fit(lines, callbacks=[watch], training=SMALL["training"] | {"max_steps": 9}, output=tmp_path / "run")
    assert [step for step, _, _ in watch.steps] == [1, 2]
    assert [step for step, _ in watch.validations] == [2]
    assert ae.metrics["steps"] == 2 and RunDir(tmp_path / "run").finished


@pytest.mark.backend_free
def test_the_same_call_returns_the_finished_run(fit, lines, tmp_path):
    first = fit(lines, output=tmp_path / "run")
    watch = Watch()
    second = fit(lines, output=tmp_path / "run", callbacks=[watch])
    assert watch.steps == [] and second.metrics == first.metrics
    with pytest.raises(ValueError, match=r"expected the configuration of the run in .*: training.max_steps=3, found 2"):
        fit(lines, output=tmp_path / "run", training=SMALL["training"] | {"max_steps": 2})


@pytest.mark.backend_free
def test_files_and_splits(fit, lines, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "c.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "d.csv").write_text("id,body\n1,another\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("id,body\n1,a red house\n2,a blue tree\n", encoding="utf-8")
    ae = fit(Path("a.txt"), test_texts=[Path("c.txt")], output="run")
    assert ae.metrics["documents"] == len(lines)
    ae = fit(lines, test_texts=["one text", "another"], output="other")
    assert ae.metrics["documents"] == 2
    ae = fit(Path("b.csv"), field="body", test_texts=Path("d.csv"), output="third")
    assert ae.metrics["documents"] == 1


@pytest.mark.backend_free
def test_the_words_of_the_program_are_not_blamed(fit, monkeypatch):
    monkeypatch.setattr("sys.argv", ["program", "--data", "x{"])
    with pytest.raises(ValueError, match=r"expected key=value, .*, found a key=3$"):
        fit(["a"], **{"a key": 3})


@pytest.mark.parametrize(
    "texts,arguments,error,message",
    [
        ("one text", {}, TypeError, "texts as a list of strings, received one string of 8 characters; files are given"),
        (["a", 3], {}, TypeError, r"texts\[1\] as a string, received int"),
        ([], {}, ValueError, "texts with at least one text, received none"),
        ({"train": ["a"]}, {}, TypeError, "texts as a list of strings, received dict"),
        (
            ["a", "\ud800"],
            {},
            ValueError,
            r"texts\[1\] as Unicode text, received half of a surr.* at character 0",
        ),
        ([{"body": "a"}], {}, ValueError, r"texts\[0\] with a field text \(field=NAME names another\), found body"),
        (["a"], {"test_texts": ["a"]}, ValueError, "test_texts that are not all of texts, received the same"),
        (None, {"test_texts": ["a"]}, ValueError, "texts where test_texts are given, received None"),
        ([Path("a")], {"test_texts": ["a"]}, TypeError, "test_texts as paths, as texts are, received list"),
        ("tfds:ag", {"test_texts": ["a"]}, ValueError, "no test_texts with 'tfds:ag', whose splits are its own"),
        (
            ["a"],
            {"model": {"latent_sise": 3}},
            ValueError,
            "unknown key model.latent_sise; did you mean ",
        ),
        (
            ["a"],
            {"model": 3},
            TypeError,
            r"model as the name of an option or as a mapping of .*, received int",
        ),
        (["a"], {"tokenizer": "byte"}, ValueError, "unknown option tokenizer=byte; did you mean tokenizer=bytes"),
        (["a"], {"experiment": "chunk"}, ValueError, r"unknown option experiment=chunk; did you mean .*=chunk4"),
        (["a"], {"experiment": 4}, TypeError, "experiment as a name, received int"),
        (["a"], {"model": {"latent_size": object()}}, TypeError, "model.latent_size as a number, a string, a path"),
        (
            ["a"],
            {"model": {"overflow": "cut"}},
            ValueError,
            "model.overflow: expected one of split, truncate, drop",
        ),
        (["a"], {"callbacks": [3]}, TypeError, r"callbacks\[0\] as an object with on_step or on_validation or on_end"),
        (
            ["a"],
            {"callbacks": [textae.Callback]},
            TypeError,
            r"callbacks\[0\] as an object .*, received the class",
        ),
        (["a"], {"callbacks": Watch()}, TypeError, "callbacks as a list, received Watch"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
@pytest.mark.backend_free
def test_what_cannot_be_is_said_in_a_line_and_leaves_nothing(fit, tmp_path, texts, arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        fit(texts, **arguments)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "outputs").exists()
    left = list((tmp_path / "data").rglob("*.parquet")) if (tmp_path / "data").exists() else []
    assert len(left) == (message.endswith("received the same"))  # of texts that were good
