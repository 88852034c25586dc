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

from textae.exporting.export_readme import export_readme, takes_texts
from textae.exporting.int8 import coded, measured, padded, quantize
from textae.files import write_text
from textae.runs.json_files import write_json
from textae.runs.run_folder import TOKENIZER
from textae.untrusted_files import kind_of

if TYPE_CHECKING:
    from textae.data.tokenizers import Tokenizer
    from textae.exporting.export_graphs import Graphs
    from textae.models.autoencoder import Autoencoder

logger = logging.getLogger(__name__)

FORMATS = ("saved_model", "onnx")
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
README, INT8 = "README.md", "int8.json"
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


def export(
    codec: Codec, tokenizer: Tokenizer, output: Path | str, format: str, int8_texts: Sequence[str] | None = None
) -> Path:
    """Write a codec and a tokenizer, try what was written, and return the folder.

    Args:
        codec, tokenizer: of the run.
        output: the folder.
        format: "saved_model" or "onnx".
        int8_texts: texts on which the loss of quantised weights is measured, with "onnx"; None: weights stay float32.

    Raises:
        ValueError: as `check_possible`, no texts for int8, or Keras runs on another backend than TensorFlow.
        ExportError: what was written fails or differs.
    """
    import keras

    folder = check_possible(output, format)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export: expected KERAS_BACKEND=tensorflow, from whose graphs both formats are written, "
            f"found {keras.backend.backend()}"
        )
    documents = None if int8_texts is None else _documents_for_int8(tokenizer, int8_texts, format)
    from textae.exporting.export_graphs import Graphs

    graphs = Graphs(codec.model, codec.effective_overflow == "truncate")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir()
        tokenizer.save(temporary / TOKENIZER)
        (_write_onnx if format == "onnx" else _write_saved_model)(temporary, graphs, tokenizer)
        try:
            written = (_read_onnx if format == "onnx" else _read_saved_model)(temporary)
            _compare(codec, tokenizer, written)
            found = None if documents is None else _quantize(temporary, written, documents)
        except ExportError:
            raise
        except Exception as error:  # whatever the libraries that run it may say
            raise ExportError(f"{format} was written, but cannot be run: {error}") from error
        write_text(temporary / README, export_readme(graphs, tokenizer, format, found), own=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _documents_for_int8(tokenizer: Tokenizer, texts: Sequence[str], format: str) -> list[np.ndarray]:
    """Return the ids of the texts that are not empty, which int8 is measured on."""
    if format != "onnx":
        raise ValueError(f"int8: expected format=onnx, found {format}")
    documents = [ids for ids in tokenizer.encode(list(texts)) if len(ids)]
    if not documents:
        raise ValueError("int8: expected texts to measure the loss on, found none")
    return documents


def _quantize(folder: Path, float32: _Written, documents: list[np.ndarray]) -> dict[str, Any]:
    """Put int8 in place of the ONNX files, and return what that costs on documents, which int8.json holds too."""
    sizes = []
    for name in (ENCODER, DECODER):
        quantized = folder / f"{name}.int8"
        quantize(folder / name, quantized)
        sizes.append(((folder / name).stat().st_size, quantized.stat().st_size))
        quantized.replace(folder / name)
    before, after = map(sum, zip(*sizes, strict=True))
    int8 = _read_onnx(folder)
    found = measured(
        documents,
        coded(float32.encode, float32.decode, documents),
        coded(int8.encode, int8.decode, documents),
        (before, after),
    )
    write_json(folder / INT8, found)
    logger.info(
        f"int8: {after:,} bytes in place of {before:,}; token accuracy {found['token_accuracy_int8']:.5f} in place of "
        f"{found['token_accuracy_float32']:.5f}, on {found['documents']:,} texts"
    )
    return found


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
    if takes_texts(tokenizer):
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
    found = [written.encode(*padded(documents))]
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
