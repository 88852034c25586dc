"""How many ids a tokenizer has, on corpora that fill fewer than were asked for and on those that need more."""

import random

import pytest
from hydra import compose, initialize_config_dir

from textae.config.mapping import resolve
from textae.config.registration import config_dir, register
from textae.data.preparation import prepare

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """600 short sentences of 22 words."""
    words = "the a small large red blue house tree river runs sleeps sings under over near and never often at it is so"
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("corpus") / "sentences.txt"
    path.write_text("".join(" ".join(draw.choices(words.split(), k=4)) + "\n" for _ in range(600)))
    return path


@pytest.fixture
def vocabulary(tmp_path):
    """A function: the size of the vocabulary that a command line comes to."""

    def made(path, *overrides):
        register()
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            config = resolve(compose("config", ["corpus=text", f"corpus.files=[{path}]", *overrides]))
        return prepare(tmp_path / "data", config.corpus, config.tokenizer).tokenizer.vocabulary_size

    return made


def test_words_are_as_many_as_there_are(vocabulary, sentences, capsys):
    assert vocabulary(sentences, "tokenizer=words") == 3 + 22
    assert "vocabulary: 25, all that the texts fill of 25,002" in capsys.readouterr().err
    assert vocabulary(sentences, "tokenizer.kind=words", "tokenizer.target_vocabulary_size=10") == 10


@pytest.mark.parametrize("kind", ["unigram", "bpe", "words", "characters"])
def test_a_size_that_was_asked_for_and_is_not_there(vocabulary, sentences, kind):
    with pytest.raises(ValueError, match=r"^expected tokenizer.vocabulary_size of at most \d+, .*, received 5000$"):
        vocabulary(sentences, f"tokenizer={kind}", "tokenizer.vocabulary_size=5000")


@pytest.mark.parametrize("kind", ["unigram", "bpe", "words", "characters", "bytes"])
def test_an_experiment_adapts_to_the_corpus(vocabulary, sentences, capsys, kind):
    found = vocabulary(sentences, "+experiment=debug", f"tokenizer={kind}")
    assert found < 512
    if kind == "unigram":
        assert f"vocabulary: {found}, all that the texts fill of 512" in capsys.readouterr().err
    if kind == "characters":
        assert found == 258 + len(set(sentences.read_text()) - {"\n"})


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_characters_may_need_more_than_was_aimed_at(vocabulary, tmp_path, kind, capsys):
    path = tmp_path / "han.txt"
    draw = random.Random(0)
    path.write_text("".join("".join(map(chr, draw.sample(range(0x4E00, 0x4E00 + 900), 40))) + "\n" for _ in range(300)))
    found = vocabulary(path, "+experiment=debug", f"tokenizer={kind}")
    assert 900 < found <= 259 + 900 + 2
    assert f"vocabulary: {found:,}, more than 512 for all characters" in capsys.readouterr().err
    with pytest.raises(
        ValueError, match=r"^expected tokenizer.vocabulary_size of at least \d+, which .* received 512$"
    ):
        vocabulary(path, f"tokenizer={kind}", "tokenizer.vocabulary_size=512")
