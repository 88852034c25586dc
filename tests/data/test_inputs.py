"""What the Python interface takes, and that what only looks like it is told; copies of a trained run."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import textae
from textae.config.checks import Settings
from textae.config.choices import TokenizerKind, UpsamplerKind
from textae.config.command_schemas import COMMANDS
from textae.config.schema import (
    CORPORA,
    Config,
    ModelConfig,
    TextConfig,
    TokenizerConfig,
    TrainingConfig,
    UpsamplerConfig,
)
from textae.data.inputs import each_text, latents_of, texts_of
from textae.data.tokenizers import BytesTokenizer, CharactersTokenizer, WordsTokenizer, train_tokenizer
from textae.evaluation.evaluator import evaluate

NO_LISTS = {
    "a text": ("hello there", "received one string of 11 characters"),
    "bytes": (b"hello", "received bytes"),
    "nothing": (None, "received None"),
    "a number": (3, "received int"),
    "a mapping": ({"a": 1}, "received dict"),
    "one value": (np.array("a"), "received ndarray"),
}
NO_TEXTS = {
    "nothing": (["a", None], r"texts\[1\] as a string, received None"),
    "bytes": (["a", "b", b"c"], r"texts\[2\] as a string, received bytes"),
    "a list": ([["a"]], r"texts\[0\] as a string, received list"),
    "a number": (np.array(["a", 1.5], object), r"texts\[1\] as a string, received float"),
}


@pytest.fixture(scope="module")
def ae(trained):
    return textae.load(trained[0])


def calls(ae):
    tokenizers = [BytesTokenizer(), CharactersTokenizer("ab"), WordsTokenizer(["a"])]
    found = {method: getattr(ae, method) for method in ("encode", "reconstruct", "score", "embed", "neighbours")}
    found["neighbours"] = lambda texts: ae.neighbours(texts, ["a"], 1)
    found["documents"] = lambda texts: ae.neighbours(["a"], texts, 1)
    found["evaluate"] = lambda texts: evaluate(ae, texts)
    found["train_tokenizer"] = lambda texts: train_tokenizer("characters", texts)
    return found | {f"{tokenizer.kind} tokenizer": tokenizer.encode for tokenizer in tokenizers}


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", NO_LISTS)
def test_what_is_no_list_of_texts_is_told_everywhere(ae, kind):
    value, found = NO_LISTS[kind]
    for name, call in calls(ae).items():
        with pytest.raises(TypeError, match=f"expected (texts|documents) as a list of strings, {found}"):
            pytest.fail(f"{name}: {call(value)}")


@pytest.mark.backend_free
@pytest.mark.parametrize("kind", NO_TEXTS)
def test_what_is_no_text_is_told_everywhere_with_its_place(ae, kind):
    value, found = NO_TEXTS[kind]
    for name, call in calls(ae).items():
        with pytest.raises(TypeError, match="expected " + found.replace("texts", "(texts|documents)")):
            pytest.fail(f"{name}: {call(value)}")


class Table:
    """As pandas': iterating gives the names of the columns."""

    columns = ("text", "label")

    def __iter__(self):
        return iter(self.columns)


@pytest.mark.backend_free
def test_lists_of_many_kinds_are_texts(ae):
    expected = ["a", "bc"]
    for texts in (expected, tuple(expected), iter(expected), np.array(expected), np.array(expected, object)):
        assert texts_of(texts) == expected
    assert ae.reconstruct(np.array(expected)) == ae.reconstruct(expected)
    assert ae.score([]).shape == (0,)
    with pytest.raises(TypeError, match="expected texts as a list of strings, received Table"):
        each_text(Table())


@pytest.mark.backend_free
def test_two_texts_and_three_are_strings(ae):
    with pytest.raises(TypeError, match="expected last as a string, received bytes"):
        ae.interpolate("a", b"b")
    with pytest.raises(TypeError, match="expected first as a string, received list"):
        ae.interpolate(["a"], "b")
    for place, name in enumerate(("first", "less", "plus")):
        texts = ["a", "b", "c"]
        texts[place] = None
        with pytest.raises(TypeError, match=f"expected {name} as a string, received None"):
            ae.arithmetic(*texts)


@pytest.mark.backend_free
def test_latents_are_a_list_of_arrays(ae):
    latents = ae.encode(["a", "the house"])
    assert ae.decode([array.tolist() for array in latents]) == ae.decode(latents) == ae.decode(tuple(latents))
    with pytest.raises(ValueError, match=r"as a list of arrays, received those of one text, of shape \(1, 16\)"):
        ae.decode(latents[0])
    with pytest.raises(ValueError, match=r"received those of one text, of shape \(5,\)"):
        latents_of(np.zeros(5), dimensions=1)
    for value, found in (("abc", "one string"), (None, "None"), ({"a": 1}, "dict"), (2.0, "float")):
        with pytest.raises(TypeError, match=f"expected latents as a list of arrays, received {found}"):
            ae.decode(value)
    for value, found in (
        ([latents[0], None], r"latents\[1\] as an array of numbers, received None"),
        (["abc"], r"latents\[0\] as an array of numbers, received str"),
        ([[["1"] * 16]], r"latents\[0\] as an array of numbers, received an array of <U1"),
        ([latents[0].astype(np.complex64)], "received an array of complex64"),
    ):
        with pytest.raises(TypeError, match=found):
            ae.decode(value)
    with pytest.raises(ValueError, match=r"latents\[0\] as an array of numbers, received list: "):
        ae.decode([[[1.0], [1.0, 2.0]]])
    with pytest.raises(TypeError, match="expected ids as a list of arrays, received one string"):
        ae.tokenizer.decode("abc")


@pytest.mark.backend_free
def test_settings_are_converted_to_their_types():
    assert TokenizerConfig(kind="bpe").kind is TokenizerKind.bpe
    assert UpsamplerConfig(kind="subpixel").kind is UpsamplerKind.subpixel
    config = TrainingConfig(max_minutes=2, max_steps=np.int64(3), precision="bfloat16")
    assert (config.max_minutes, type(config.max_minutes), config.max_steps) == (2.0, float, 3)
    config.on_nonfinite = "skip"
    assert config.on_nonfinite.name == "skip"
    assert ModelConfig(strides=(2, 2), channels=[8, 8, 8], residual_blocks=(0, 0, 0)).strides == [2, 2]
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("schema", "setting", "value", "message"),
    [
        (TokenizerConfig, "kind", "bep", "TokenizerConfig.kind as one of unigram, bpe, bytes, characters, words"),
        (TokenizerConfig, "kind", 1, "TokenizerConfig.kind as one of .*words"),
        (TrainingConfig, "max_steps", "5", "TrainingConfig.max_steps as a whole number"),
        (TrainingConfig, "max_steps", 5.5, "TrainingConfig.max_steps as a whole number"),
        (TrainingConfig, "max_steps", True, "TrainingConfig.max_steps as a whole number"),
        (TrainingConfig, "learning_rate", "high", "TrainingConfig.learning_rate as a number"),
        (TrainingConfig, "corruption", {"drop": 0.1}, "TrainingConfig.corruption as CorruptionConfig"),
        (ModelConfig, "strides", "4", "ModelConfig.strides as a list"),
        (ModelConfig, "strides", [2, "2"], r"ModelConfig.strides\[1\] as a whole number"),
        (ModelConfig, "variational", "no", "ModelConfig.variational as bool"),
        (TextConfig, "files", "a.txt", "TextConfig.files as a list"),
        (TextConfig, "field", 3, "TextConfig.field as str"),
        (CORPORA["tfds"], "splits", "train", "TfdsConfig.splits as a dict"),
        (COMMANDS["export"], "format", "pickle", "ExportConfig.format as one of saved_model, onnx"),
    ],
    ids=str,
)
def test_settings_of_another_type_are_refused(schema, setting, value, message):
    with pytest.raises(ValueError, match=f"expected {message}, received "):
        schema(**{setting: value})


@pytest.mark.backend_free
def test_every_schema_converts_its_settings():
    for schema in (Config, TokenizerConfig, UpsamplerConfig, ModelConfig, TrainingConfig, *CORPORA.values()):
        assert issubclass(schema, Settings)
    assert all(issubclass(schema, Settings) for schema in COMMANDS.values())


def answers(ae):
    texts = ["the small red house", "", "naïve ☃ 日本"]
    return [array.tolist() for array in ae.encode(texts)], ae.score(texts).tolist(), ae.reconstruct(texts)


def test_copies_of_a_run_answer_alike(trained):
    ae = textae.load(trained[0], latent_noise=0.5)
    weight = ae.model.trainable_variables[0]
    weight.assign(weight + 0.1)  # copies have the weights as they are, and not those of the folder
    ae.score(["some noise is used up"])
    copies = [copy.deepcopy(ae), pickle.loads(pickle.dumps(ae))]
    expected = answers(ae)
    for copied in copies:
        assert copied.model is not ae.model
        assert copied.config == ae.config and copied.tokenizer.equals(ae.tokenizer)
        assert answers(copied) == expected


@pytest.mark.backend_free
def test_tokenizers_are_copied():
    learnt = train_tokenizer("unigram", ["the house and the tree"] * 20, 300, nearest=True)
    for tokenizer in (BytesTokenizer(), CharactersTokenizer("ab"), WordsTokenizer(["a"]), learnt):
        for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
            assert copied.equals(tokenizer)
            assert [ids.tolist() for ids in copied.encode(["the a b"])] == [
                ids.tolist() for ids in tokenizer.encode(["the a b"])
            ]


@pytest.mark.slow
@pytest.mark.compiled  # as the other process computes
def test_a_pickle_is_opened_by_another_process(ae, tmp_path):
    (tmp_path / "ae.pickle").write_bytes(pickle.dumps(ae))
    command = (
        "import pickle, sys, numpy; ae = pickle.load(open(sys.argv[1], 'rb')); "
        "numpy.save(sys.argv[2], ae.embed(['the small red house', '']))"
    )
    subprocess.run([sys.executable, "-c", command, tmp_path / "ae.pickle", tmp_path / "found.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), ae.embed(["the small red house", ""]))
