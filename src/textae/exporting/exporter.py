"""A run for programs without textae: a folder with its encoder and decoder, its tokenizer, and how to call them.

The folder appears when what was written has been run and agrees with the run. It is written from TensorFlow graphs,
whichever backend the run was trained with.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textae.files import write_text
from textae.runs.run_folder import TOKENIZER
from textae.untrusted_files import kind_of

if TYPE_CHECKING:
    from textae.data.tokenizers import Tokenizer
    from textae.exporting.export_graphs import Graphs
    from textae.models.autoencoder import Autoencoder

FORMATS = ("saved_model", "onnx")
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
README = "README.md"
EXTRA = ("tf2onnx", "onnx", "onnxruntime")
_PROBES = 24  # documents on which what was written is compared with the run
_MAY_DIFFER = 1  # of them, where two logits are equal but for rounding

Arrays = dict[str, np.ndarray]
Function = Callable[..., Arrays]


class Codec(Protocol):
    """What is exported and compared with: as `textae.inference.codec.Codec`."""

    @property
    def model(self) -> Autoencoder:
        """The built model."""
        ...

    @property
    def effective_overflow(self) -> str:
        """What happens to long texts: "split" or "truncate"."""
        ...

    @property
    def single(self) -> bool:
        """Whether each text has exactly one latent."""
        ...

    def encode(self, documents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return each document's latents."""
        ...

    def decode(self, latents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the ids that latents stand for."""
        ...


@dataclass(frozen=True)
class _Written:
    """The functions of what was written, read again; `texts` are those of strings, where there are any."""

    encode: Function
    decode: Function
    texts: tuple[Function, Function] | None = None


class ExportError(Exception):
    """What was written does not do what the run does."""


def check_possible(output: Path | str, format: str) -> Path:
    """Return the folder to write.

    Raises:
        ValueError: another format, a library that it needs is missing, or the folder cannot be made.
    """
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, received {format!r}")
    needed = ("tensorflow", *EXTRA) if format == "onnx" else ("tensorflow",)
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        how = "; pip install 'textae[export]' installs it" if missing[0] in EXTRA else ""
        raise ValueError(f"format={format}: expected {', '.join(needed)}, found no {missing[0]}{how}")
    folder = Path(output)
    if not folder.parent.is_dir():
        raise ValueError(f"output: expected the folder {folder.parent} to exist, found none")
    if kind_of(folder) is not None:
        raise ValueError(f"output: expected a name that is free, found {folder}")
    return folder


def export(codec: Codec, tokenizer: Tokenizer, output: Path | str, format: str) -> Path:
    """Write a codec and a tokenizer, try what was written, and return the folder.

    Raises:
        ValueError: as `check_possible`, or Keras runs on another backend than TensorFlow.
        ExportError: what was written fails or differs.
    """
    import keras

    folder = check_possible(output, format)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export: expected KERAS_BACKEND=tensorflow, from whose graphs both formats are written, "
            f"found {keras.backend.backend()}"
        )
    from textae.exporting.export_graphs import Graphs

    graphs = Graphs(codec.model, codec.effective_overflow == "truncate")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        tokenizer.save(temporary / TOKENIZER)
        (_write_onnx if format == "onnx" else _write_saved_model)(temporary, graphs, tokenizer)
        write_text(temporary / README, _readme(graphs, tokenizer, format), own=True)
        try:
            _compare(codec, tokenizer, (_read_onnx if format == "onnx" else _read_saved_model)(temporary))
        except ExportError:
            raise
        except Exception as error:  # whatever the libraries that run it may say
            raise ExportError(f"{format} was written, but cannot be run: {error}") from error
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _signatures(graphs: Graphs) -> tuple[list[Any], list[Any]]:
    """Return what encoding and decoding take."""
    import tensorflow as tf

    size, count = graphs.model.latent_size, tf.TensorSpec((None,), tf.int32, "num_latents")
    ids = [tf.TensorSpec((None, None), tf.int32, "ids"), tf.TensorSpec((None,), tf.int32, "lengths")]
    if graphs.single:
        return ids, [tf.TensorSpec((None, size), tf.float32, "latents")]
    return ids, [tf.TensorSpec((None, None, size), tf.float32, "latents"), count]


def _write_saved_model(folder: Path, graphs: Graphs, tokenizer: Tokenizer) -> None:
    import keras
    import tensorflow as tf

    from textae.exporting.export_graphs import decode_bytes, encode_bytes

    ids, latents = _signatures(graphs)
    archive: Any = keras.export.ExportArchive()  # of the running backend
    archive.track(graphs.model)
    archive.add_endpoint("encode", graphs.encode, input_signature=ids)
    archive.add_endpoint("decode", graphs.decode, input_signature=latents)
    if _takes_texts(tokenizer):
        from textae.data.tokenizers import FIRST_BYTE_ID

        texts = [tf.TensorSpec((None,), tf.string, "texts")]
        archive.add_endpoint("encode_texts", encode_bytes(graphs, FIRST_BYTE_ID), input_signature=texts)
        archive.add_endpoint("decode_texts", decode_bytes(graphs, FIRST_BYTE_ID), input_signature=latents)
    with _only_errors("tensorflow"):
        archive.write_out(str(folder), verbose=False)


def _write_onnx(folder: Path, graphs: Graphs, tokenizer: Tokenizer) -> None:
    from textae.exporting.export_graphs import PARTS, GraphModel

    for name, part, signature in zip((ENCODER, DECODER), PARTS, _signatures(graphs), strict=True):
        written = GraphModel(graphs.model, part, graphs.truncates)
        with _only_errors("tf2onnx", "tensorflow"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras does to tf2onnx
            written.export(str(folder / name), format="onnx", verbose=False, input_signature=signature)


@contextmanager
def _only_errors(*names: str) -> Iterator[None]:
    """Let these loggers log only errors meanwhile."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _read_saved_model(folder: Path) -> _Written:
    import tensorflow as tf

    served = tf.saved_model.load(str(folder))

    def arrays(function: str) -> Function:
        def call(*given: Any) -> Arrays:
            found = getattr(served, function)(*map(tf.constant, given))  # its variables live as long as `served`
            return {name: value.numpy() for name, value in found.items()}

        return call

    texts = (arrays("encode_texts"), arrays("decode_texts")) if hasattr(served, "encode_texts") else None
    return _Written(arrays("encode"), arrays("decode"), texts)


def _read_onnx(folder: Path) -> _Written:
    import onnxruntime

    def opened(name: str) -> Function:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))

        def call(*given: Any) -> Arrays:
            found = session.run(outputs, dict(zip(inputs, given, strict=True)))
            return {name: np.asarray(value) for name, value in zip(outputs, found, strict=True)}

        return call

    return _Written(opened(ENCODER), opened(DECODER))


def _compare(codec: Codec, tokenizer: Tokenizer, written: _Written) -> None:
    """Raise an ExportError unless what was written agrees with the run, in batches of several sizes."""
    documents = _documents(codec.model)
    expected = codec.encode(documents)
    reconstructed = [ids.tolist() for ids in codec.decode(expected)]
    tolerance = 1e-4 * max(float(np.abs(latents).max()) for latents in expected) + 1e-5
    differing = 0
    for rows in _groups(len(documents)):
        batches = _encoded(written, [documents[row] for row in rows])
        for batch in batches:
            for i, row in enumerate(rows):
                latents = batch["latents"][i] if codec.single else batch["latents"][i, : batch["num_latents"][i]]
                if latents.shape != expected[row].shape or np.abs(latents - expected[row]).max() > tolerance:
                    tokens = len(documents[row])
                    raise ExportError(f"expected of a text of {tokens} tokens the run's latents, found others")
        names = ("latents",) if codec.single else ("latents", "num_latents")
        found = _compare_decoding(tokenizer, written, [batches[0][name] for name in names])
        differing += sum(ids != reconstructed[row] for ids, row in zip(found, rows, strict=True))
    if differing > _MAY_DIFFER:
        raise ExportError(f"expected the run's ids of {len(documents)} texts, found others of {differing}")


def _encoded(written: _Written, documents: list[np.ndarray]) -> list[Arrays]:
    """Return what a batch is encoded to: as ids, and as texts where they can be."""
    ids = np.zeros((len(documents), max(map(len, documents))), np.int32)
    for row, document in zip(ids, documents, strict=True):
        row[: len(document)] = document
    found = [written.encode(ids, np.array([len(document) for document in documents], np.int32))]
    if written.texts is not None:
        texts = [(document - 2).astype(np.uint8).tobytes() for document in documents]
        found.append(written.texts[0](np.array(texts, object)))
    return found


def _compare_decoding(tokenizer: Tokenizer, written: _Written, latents: list[np.ndarray]) -> list[list[int]]:
    """Return the ids that a batch decodes to, with which the texts have to agree where there are any."""
    decoded = written.decode(*latents)
    found = [ids[:length].tolist() for ids, length in zip(decoded["ids"], decoded["lengths"], strict=True)]
    if written.texts is not None:
        texts = [text.decode("utf-8", "replace") for text in written.texts[1](*latents)["texts"].tolist()]
        if texts != tokenizer.decode([np.array(ids, np.int32) for ids in found]):
            raise ExportError("expected the tokenizer's texts, found others")
    return found


def _documents(model: Autoencoder) -> list[np.ndarray]:
    """Return ids of every length at which something changes."""
    longest, stride = model.max_length, model.stride
    edges = [0, 1, stride - 1, stride, longest - 2, longest - 1, longest, longest + 1, 2 * longest + stride]
    draw = np.random.default_rng(0)
    lengths = [*edges, *draw.integers(1, longest + 1, _PROBES - len(edges)).tolist()]
    return [draw.integers(2, model.vocabulary_size, max(length, 0), dtype=np.int32) for length in lengths]


def _groups(count: int) -> Iterator[range]:
    """Yield the rows of batches: one alone, two, and then three and four in turn."""
    start, size = 0, 1
    while start < count:
        yield range(start, min(start + size, count))
        start, size = start + size, 2 if size == 1 else 7 - max(size, 3)


def _takes_texts(tokenizer: Tokenizer) -> bool:
    """Return whether graphs can make ids of texts: of bytes as they are."""
    return tokenizer.kind == "bytes" and tokenizer.lossless


def _readme(graphs: Graphs, tokenizer: Tokenizer, format: str) -> str:
    """Return how to call what was written."""
    model = graphs.model
    size, longest = model.latent_size, model.max_length
    code = _ONNX_CODE if format == "onnx" else _SAVED_MODEL_CODE + (_TEXTS_CODE if _takes_texts(tokenizer) else "")
    parts = "segments" if graphs.vector else "latent positions"
    if graphs.single:
        code = code.replace(', encoded["num_latents"]', "").replace(', "num_latents"', "")
        latents = f"`latents` float32 (batch, {size})"
    else:
        latents = f"`latents` float32 (batch, {parts}, {size}), `num_latents` int32 (batch,), the {parts} of each text"
    tokens = longest if graphs.vector else model.stride
    return _README.format(
        files="`encoder.onnx` and `decoder.onnx`" if format == "onnx" else "A SavedModel",
        latents=latents,
        meaning="" if graphs.single else f" A latent stands for a {parts[:-1]} of {tokens} tokens.",
        long=f"of more than {longest - 1} tokens {'are truncated' if graphs.truncates else 'are split into segments'}",
        tokenizer=_TOKENIZERS[tokenizer.kind] + _NUMBERS[tokenizer.number_normalization],
        code=code,
    )


_README = """# Encoder and decoder of a textae run

{files}, with dynamic batch and length; `tokenizer/` converts texts to ids and ids to texts.

- encode: `ids` int32 (batch, length), `lengths` int32 (batch,), each text's own, to {latents}.
- decode: what encode returns to `ids` int32 (batch, length), 0 beyond each text's own, and `lengths` int32 (batch,).

Ids are those of the text without an end; what lies beyond `lengths` is not read. Texts {long}.{meaning}

{tokenizer}

```python
{code}```
"""
_TOKENIZERS = {
    "bytes": "An id is a byte of UTF-8 plus 2.",
    "characters": "Ids from 258 on are the `characters` of tokenizer/tokenizer.json, in order; any other character is "
    "its bytes of UTF-8, each plus 2.",
    "words": "Ids from 3 on are the `words` of tokenizer/tokenizer.json, in order; any other word is 2. Words stand "
    "between white space.",
}
_TOKENIZERS["unigram"] = _TOKENIZERS["bpe"] = (
    "tokenizer/tokenizer.model is a SentencePiece model. It takes texts in which U+0010 is written as U+0010 and `d`, "
    "and U+2581 as U+0010 and `u`; undo that in what it decodes."
)
_NUMBERS = {
    "none": "",
    "digits": " Before that, every digit from 0 to 9 becomes 0.",
    "hexadecimals": " Before that, every digit from 0 to 9, and every letter of a hexadecimal number, becomes 0.",
}
_ONNX_CODE = """\
import numpy as np
import onnxruntime

encoder = onnxruntime.InferenceSession("encoder.onnx")
decoder = onnxruntime.InferenceSession("decoder.onnx")
ids, lengths = np.array([[5, 6, 7], [8, 9, 0]], np.int32), np.array([3, 2], np.int32)
names = ["latents", "num_latents"]
encoded = encoder.run(names, {"ids": ids, "lengths": lengths})
decoded = decoder.run(["ids", "lengths"], dict(zip(names, encoded)))
"""
_SAVED_MODEL_CODE = """\
import tensorflow as tf

served = tf.saved_model.load(".")
encoded = served.encode(tf.constant([[5, 6, 7], [8, 9, 0]]), tf.constant([3, 2]))
decoded = served.decode(encoded["latents"], encoded["num_latents"])
"""
_TEXTS_CODE = """
# Texts go in as bytes of UTF-8, and come out as bytes.
encoded = served.encode_texts(tf.constant(["Any text.", "Another one."]))
texts = served.decode_texts(encoded["latents"], encoded["num_latents"])["texts"]
"""
