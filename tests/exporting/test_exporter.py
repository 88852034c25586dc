"""Each exported file gives the answers of the run that it came from, whichever backend that was trained with."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import textae
from helpers.eager import eager
from textae.data.tokenizers import load_tokenizer
from textae.data.tokenizers.bytes_tokenizer import BytesTokenizer
from textae.exporting.export_readme import _code
from textae.exporting.exporter import DECODER, ENCODER, INT8, check_possible, export
from textae.runs.json_files import read_json

pytestmark = [pytest.mark.usefixtures("small_pictures"), pytest.mark.compiled]

TEXTS = [
    "the red house",
    "",
    "a",
    "naïve ☃ 日本",
    "a large river runs often and never sleeps under the small blue tree " * 3,
]
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are made on TensorFlow")


@pytest.fixture(scope="module")
def vectors(tiny_config, tmp_path_factory):
    """A finished run with one vector per text, over pieces of SentencePiece."""
    from textae.training.fit import fit

    folder = tmp_path_factory.mktemp("runs") / "vectors"
    changes = {"model.latent": "vector", "model.overflow": "truncate", "model.output_bias": True}
    with eager():
        fit(tiny_config(**changes, **{"tokenizer.kind": "bpe", "training.max_steps": 5}), folder)
    return folder


@pytest.fixture(scope="module")
def segments(vectors, tmp_path_factory):
    """The run with one vector per text as one with a vector for each segment of a text."""
    folder = tmp_path_factory.mktemp("runs") / "segments"
    shutil.copytree(vectors, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("overflow: truncate", "overflow: split"))
    return folder


@pytest.fixture(scope="module")
def waves(tiny_config, tmp_path_factory):
    """The same with a decoder that sees waves."""
    from textae.training.fit import fit

    folder = tmp_path_factory.mktemp("runs") / "waves"
    changes = {"model.latent": "vector", "model.overflow": "truncate", "model.latent_size": 32}
    changes |= {"tokenizer.kind": "bpe", "model.initialization": "lattice", "model.tie_embeddings": False}
    with eager():
        fit(tiny_config(**changes, **{"training.max_steps": 5}), folder)
    return folder


def exported(run, output, format):
    made = subprocess.run(
        [sys.executable, "-m", "textae.export", f"run={run}", f"output={output}", f"format={format}"],
        capture_output=True,
        text=True,
        timeout=400,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert (made.returncode, made.stderr) == (0, ""), made.stderr
    assert made.stdout == f"{output}\n"
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    return output


def padded(documents):
    ids = np.full((len(documents), max(map(len, documents)) + 2), 7, np.int32)  # what lies beyond is not read
    for row, document in zip(ids, documents, strict=True):
        row[: len(document)] = document
    return ids, np.array([len(document) for document in documents], np.int32)


def check(ae, encode, decode):
    """Compare the two functions with a run on texts, all together and one by one."""
    documents = ae.tokenizer.encode(TEXTS)
    expected = ae.encode(TEXTS)
    for chosen in ([0, 1, 2, 3, 4], [2], [4, 1]):
        encoded = encode(*padded([documents[i] for i in chosen]))
        for row, i in enumerate(chosen):
            latents = encoded[0][row] if len(encoded) == 1 else encoded[0][row, : encoded[1][row]]
            assert latents.shape == expected[i].shape
            np.testing.assert_allclose(latents, expected[i], atol=1e-4 * np.abs(expected[i]).max())
        ids, lengths = decode(*encoded)
        found = ae.tokenizer.decode([row[:length] for row, length in zip(ids, lengths, strict=True)])
        assert found == [ae.decode([expected[i]])[0] for i in chosen]
        assert all(not row[length:].any() for row, length in zip(ids, lengths, strict=True))


def opened(folder, format):
    if format == "saved_model":
        tf = pytest.importorskip("tensorflow")
        served = tf.saved_model.load(str(folder))

        def encode(*arrays):
            found = served.encode(*map(tf.constant, arrays))
            return [found[name].numpy() for name in ("latents", "num_latents") if name in found]

        def decode(*arrays):
            found = served.decode(*map(tf.constant, arrays))
            return found["ids"].numpy(), found["lengths"].numpy()

        return encode, decode
    import onnxruntime

    encoder, decoder = (onnxruntime.InferenceSession(folder / name) for name in (ENCODER, DECODER))

    def encode(ids, lengths):
        names = [place.name for place in encoder.get_outputs()]
        found = dict(zip(names, encoder.run(names, {"ids": ids, "lengths": lengths}), strict=True))
        return [found[name] for name in ("latents", "num_latents") if name in found]

    def decode(*arrays):
        names = ["latents", "num_latents"][: len(arrays)]
        return decoder.run(["ids", "lengths"], dict(zip(names, arrays, strict=True)))

    return encode, decode


def check_texts(ae, folder):
    """Compare what takes texts with a run."""
    import tensorflow as tf

    served = tf.saved_model.load(str(folder))
    encoded = served.encode_texts(tf.constant(TEXTS))
    for row, expected in enumerate(ae.encode(TEXTS)):
        found = encoded["latents"][row, : encoded["num_latents"][row]]
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    said = served.decode_texts(encoded["latents"], encoded["num_latents"])["texts"].numpy()
    assert [text.decode("utf-8", "replace") for text in said] == ae.decode(ae.encode(TEXTS))
    assert served.encode_texts(tf.constant([], tf.string))["latents"].shape[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "kind"),  # both formats are made of the same graphs: each kind once; the test of int8 writes ONNX too
    [
        ("saved_model", "trained"),
        ("onnx", "vectors"),
        ("saved_model", "segments"),
        ("onnx", "waves"),
    ],
)
def test_an_exported_file_gives_the_answers_of_the_run(format, kind, request, tmp_path, monkeypatch):
    """By the command, in a process of its own, and by the Python API; the code of the README beside it runs."""
    if format == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("tf2onnx")
    run = request.getfixturevalue(kind)
    run = run[0] if kind == "trained" else run
    ae = textae.load(run)
    if kind == "trained" or keras.backend.backend() != "tensorflow":
        folder = exported(run, tmp_path / "served", format)
    else:
        folder = ae.export(tmp_path / "served", format)
    written = {ENCODER, DECODER} if format == "onnx" else {"saved_model.pb", "variables"}
    assert {path.name for path in folder.iterdir()} >= {*written, "tokenizer", "README.md"}
    check(ae, *opened(folder, format))
    ids = load_tokenizer(folder / "tokenizer").encode(TEXTS)
    assert [row.tolist() for row in ids] == [row.tolist() for row in ae.tokenizer.encode(TEXTS)]
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    assert names["reconstructed"] == ae.reconstruct(["Any text.", "Another one."])
    if ae.tokenizer.kind == "bytes" and format == "saved_model":
        said = [text.decode("utf-8", "replace") for text in names["texts"].numpy()]
        assert said == ae.reconstruct(["Any text.", "Another one."])
        check_texts(ae, folder)
    with pytest.raises(ValueError, match="output: expected a name that is free, found"):
        check_possible(folder, format)


@on_tensorflow
@pytest.mark.slow
def test_int8_is_measured_on_texts(trained, tmp_path, forks, monkeypatch):
    """By the command: on the test split; README and int8.json say what it costs, and the README's program runs."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    folder = tmp_path / "small"
    settings = [f"run={trained[0]}", f"output={folder}", "format=onnx", "int8=true", "documents=10"]
    ended = forks.run(settings, command="export", eager=False)
    assert (ended.code, ended.output) == (0, f"{folder}\n".encode()), ended.errors
    found = read_json(folder / INT8)
    size = sum((folder / name).stat().st_size for name in (ENCODER, DECODER))
    assert found["documents"] == 10 and found["bytes_int8"] == size < found["bytes_float32"]
    assert 0 < found["latent_difference"] < 0.1
    assert abs(found["token_accuracy_int8"] - found["token_accuracy_float32"]) < 0.1
    assert f"{found['token_accuracy_int8']:.5f} in place of {found['token_accuracy_float32']:.5f}" in ended.errors
    readme = (folder / "README.md").read_text()
    assert f"| token accuracy | {found['token_accuracy_float32']:.5f} | {found['token_accuracy_int8']:.5f} |" in readme
    monkeypatch.chdir(folder)
    names = {}
    exec(re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)[0], names)
    assert len(names["reconstructed"]) == 2


def test_int8_needs_onnx_and_texts(trained, tmp_path):
    ae = textae.load(trained[0])
    if keras.backend.backend() != "tensorflow":
        pytest.skip("exports are made on TensorFlow")
    with pytest.raises(ValueError, match="int8: expected format=onnx, found saved_model"):
        ae.export(tmp_path / "served", int8_texts=["a"])
    if importlib.util.find_spec("tf2onnx"):
        with pytest.raises(ValueError, match="int8: expected texts to measure the loss on, found none"):
            ae.export(tmp_path / "served", "onnx", int8_texts=[""])


@pytest.mark.parametrize("kind", ["none", "digits", "hexadecimals"])
def test_the_readme_s_program_reads_numbers_as_the_tokenizer_does(kind):
    """Up to where the model is called, for a tokenizer of bytes."""
    texts = ["at 0xBEEF, 1234 and dead12 of 7"]
    tokenizer = BytesTokenizer()
    tokenizer.number_normalization = kind
    graphs = SimpleNamespace(single=False)
    program = _code(graphs, tokenizer, "onnx").replace('["Any text.", "Another one."]', repr(texts))
    names = {}
    exec(program[: program.index("encoder = ")].replace("import onnxruntime\n", ""), names)
    assert names["ids"].tolist() == [ids.tolist() for ids in tokenizer.encode(texts)]


@on_tensorflow
@pytest.mark.slow
def test_what_differs_is_not_written(trained, tmp_path, monkeypatch):
    """A decoder that goes wrong about where texts end: nothing appears."""
    from textae.exporting import export_graphs as graphs
    from textae.exporting.exporter import ExportError

    right = graphs.Graphs.decode

    def wrong(self, latents, num_latents=None):
        found = right(self, latents, num_latents)
        return found | {"lengths": found["lengths"] + 1}

    monkeypatch.setattr(graphs.Graphs, "decode", wrong)
    ae = textae.load(trained[0])
    with pytest.raises(ExportError, match=r"expected the run's ids of 24 texts, found others"):
        export(ae.codec, ae.tokenizer, tmp_path / "served", "saved_model")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path, monkeypatch):
    assert check_possible(tmp_path / "new", "saved_model") == tmp_path / "new"
    with pytest.raises(ValueError, match=r"format: expected one of saved_model, onnx, received 'tflite'"):
        check_possible(tmp_path / "new", "tflite")
    with pytest.raises(ValueError, match=r"output: expected the folder .*no to exist, found none"):
        check_possible(tmp_path / "no" / "new", "saved_model")
    with pytest.raises(ValueError, match="output: expected a name that is free, found"):
        check_possible(tmp_path, "saved_model")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tf2onnx" else object())
    with pytest.raises(ValueError, match=r"found no tf2onnx; pip install 'textae\[export\]' installs it"):
        check_possible(tmp_path / "new", "onnx")


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="another backend")
def test_another_backend_is_refused(trained, tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=r"expected KERAS_BACKEND=tensorflow, .* found jax"):
        textae.load(trained[0]).export(tmp_path / "served")
