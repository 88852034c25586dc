"""The configuration: one dataclass per config group, checked once, then passed on as plain values.

Only this module and the entry points know Hydra. `register()` puts the schemas where the YAML files of `configs/`
name them, `resolve()` turns a composed config into a checked `Config`.
"""

from __future__ import annotations

import codecs
import glob
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cache
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# The figures of metrics.json by which runs can be sorted and searched, and which way is better.
DIRECTIONS = {
    "loss": "minimize",
    "token_accuracy": "maximize",
    "exact_match": "maximize",
    "bleu": "maximize",
    "sentence_bleu2": "maximize",
    "sentence_bleu3": "maximize",
    "sentence_bleu4": "maximize",
    "rouge1": "maximize",
    "rouge2": "maximize",
    "cer": "minimize",
    "wer": "minimize",
    "latent_floats_per_token": "minimize",
    "train_seconds": "minimize",
    "tokens_per_second": "maximize",
    "parameters": "minimize",
    "peak_memory_mb": "minimize",
}


class TokenizerKind(Enum):
    """How text becomes ids."""

    unigram = "unigram"
    bpe = "bpe"
    bytes = "bytes"
    characters = "characters"
    words = "words"


class LatentKind(Enum):
    """One latent per prod(strides) tokens, or one per text."""

    chunk = "chunk"
    vector = "vector"


class LongDocuments(Enum):
    """What happens to a document of more than `max_length` tokens."""

    split = "split"
    cut = "cut"
    drop = "drop"


class Normalization(Enum):
    """What stands in front of each residual unit."""

    rms = "rms"
    layer = "layer"
    none = "none"


class LatentNormalization(Enum):
    """How the encoder's last values are bounded."""

    none = "none"
    rms = "rms"
    tanh = "tanh"


class OutputKind(Enum):
    """Logits as a dot product, or as a cosine times `logit_scale`."""

    dot = "dot"
    cosine = "cosine"


class DecoderInput(Enum):
    """What the decoder sees of a latent: projections of its numbers, or the cosines and sines of projections."""

    linear = "linear"
    fourier = "fourier"


class UpsamplerKind(Enum):
    """How the decoder makes a sequence longer."""

    transpose = "transpose"
    resize_nearest = "resize_nearest"
    resize_linear = "resize_linear"
    subpixel = "subpixel"


class OptimizerKind(Enum):
    """The optimizers that training offers."""

    adamw = "adamw"
    muon = "muon"


class Schedule(Enum):
    """How the learning rate falls after the warm-up."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


class Precision(Enum):
    """The type of the matrix products."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Compile(Enum):
    """How a step is compiled."""

    auto = "auto"
    graph = "graph"
    xla = "xla"


class FileFormat(Enum):
    """How the files of a corpus are read."""

    auto = "auto"
    lines = "lines"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"


class DocumentUnit(Enum):
    """What of a file is a document."""

    record = "record"
    file = "file"


class OnBadRecord(Enum):
    """What is done with a record that cannot be read."""

    stop = "stop"
    skip = "skip"


class Resume(Enum):
    """What happens when the run folder already holds a run."""

    auto = "auto"
    never = "never"


class OnNonfinite(Enum):
    """What a loss or gradient that is not finite does."""

    stop = "stop"
    skip = "skip"


# Sizes beyond these would be computed for minutes, or fill the memory, before anything could be said about them.
_MOST = 2**31 - 1
_MOST_CHANNELS = 1 << 20
_MOST_LEVELS = 32
_MOST_UNITS = 64  # residual units of both halves: each takes a quarter of a second to build and to trace
_MOST_KERNEL_FACTOR = 16  # strides that a kernel covers: upsampling has operations for each
_MOST_TAPS = 1 << 11  # of a strided convolution
_MOST_WINDOWS = 1 << 9  # taps of all convolutions without a stride, each an operation
_MOST_POSITIONS = 1 << 24
# The fewest and the most ids of each kind of tokenizer, as `textae.tokenizers` has them.
_VOCABULARIES = {
    "unigram": (259, 1 << 24),
    "bpe": (259, 1 << 24),
    "bytes": (258, 258),
    "characters": (258, 1 << 24),
    "words": (4, 1 << 24),
}
_MOST_FILES = 2_000  # that are named one by one; OmegaConf takes a fifth of a millisecond for each
MOST_NUMBERS = 1 << 25  # of one array for one segment, 128 MB; several of them are held at a time


def _require(condition: bool, expected: str, received: object) -> None:
    if not condition:
        shown = repr(received)
        raise ValueError(f"expected {expected}, received {shown if len(shown) < 200 else shown[:200] + '...'}")


def _share(name: str, value: float, below_one: bool = True) -> None:
    upper = value < 1 if below_one else value <= 1
    _require(value >= 0 and upper, f"{name} in [0, 1{')' if below_one else ']'}", value)


def _at_least(name: str, value: float | None, least: float, most: float = _MOST) -> None:
    if value is not None:
        _require(value >= least and value != math.inf, f"{name} of at least {least}", value)
        _require(value <= most, f"{name} of at most {most}", value)


def _above(name: str, value: float | None, most: float = _MOST) -> None:
    if value is not None:
        _require(value > 0 and value != math.inf, f"{name} above 0", value)
        _require(value <= most, f"{name} of at most {most}", value)


def _absolute(path: str) -> str:
    """Return a path or glob that names from every folder what this one names from the current folder.

    "~" is the home folder, and leading ".." are followed, so that the folders that they leave may go.
    """
    home = Path(os.path.expanduser(path))  # noqa: PTH111, Path's own fails where there is no such home
    if home.is_absolute():
        return str(home)
    folder, parts = Path.cwd(), home.parts
    up = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    if not glob.has_magic("".join(parts[:up])):
        folder, parts = folder.joinpath(*parts[:up]).resolve() if up else folder, parts[up:]
    if glob.has_magic("".join(parts)) and not folder.joinpath(*parts).exists():
        folder = Path(glob.escape(str(folder)))
    return str(folder.joinpath(*parts))


def _is_encoding(name: str) -> bool:
    """Return whether it is auto, or what Python decodes text with bit by bit."""
    if name == "auto":
        return True
    try:
        codec = codecs.lookup(name)
        return codec._is_text_encoding and codec.incrementaldecoder is not None
    except (LookupError, ValueError):  # of names with NUL
        return False


def _split(name: str) -> None:
    _require(name in ("train", "validation", "test"), "split as train, validation or test", name)


def _folder(name: str, value: str) -> None:
    _require(bool(value.strip()) and "\0" not in value, f"{name} as the name of a folder", value)


def _objective(name: str, value: str) -> None:
    _require(value in DIRECTIONS, f"{name} as one of {', '.join(DIRECTIONS)}", value)


PATHS = ("files", "test_files", "validation_files", "tfds_dir")  # settings of a corpus that say where it lies


class Settings:
    """What every schema is: its settings are converted to the types that they are annotated with, or refused.

    That holds when one is made and when a setting is changed, and so in Python as on the command line: an enumeration's
    member may be given by its name, a path as a `Path`, a list as any sequence but a string.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        kind = _annotations(type(self)).get(name, Any)  # of a name that is none, slots say so
        object.__setattr__(self, name, _converted(f"{type(self).__name__}.{name}", value, kind))


@cache
def _annotations(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return a setting's value as its annotated type; a ValueError says what was expected."""
    arguments = get_args(kind)
    if kind is Any or (value is None and type(None) in arguments) or (isinstance(value, str) and value == MISSING):
        return value
    if type(None) in arguments:
        (kind,) = (argument for argument in arguments if argument is not type(None))
        arguments = get_args(kind)
    if get_origin(kind) is list:
        is_sequence = hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping)
        _require(is_sequence, f"{name} as a list", value)
        return [_converted(f"{name}[{i}]", each, arguments[0]) for i, each in enumerate(value)]
    if get_origin(kind) is dict:
        _require(isinstance(value, Mapping), f"{name} as a dict", value)
        return {key: _converted(f"{name}[{key!r}]", each, arguments[1]) for key, each in value.items()}
    if issubclass(kind, Enum) and not isinstance(value, kind):
        members = kind.__members__
        _require(isinstance(value, str) and value in members, f"{name} as one of {', '.join(members)}", value)
        return members[value]
    if kind in (int, float):
        right = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
        _require(right, f"{name} as {'a whole number' if kind is int else 'a number'}", value)
        return kind(value)
    if kind is str and isinstance(value, PathLike):
        return fspath(value)
    _require(isinstance(value, kind), f"{name} as {kind.__name__}", value)
    return value


@dataclass(slots=True, kw_only=True)
class CorpusConfig(Settings):
    """What every corpus has."""

    kind: str = MISSING  # which corpus; the group's option sets it
    validation_share: float = 0.02  # share of the documents that go to the validation split, chosen by content
    test_share: float = 0.02  # share of the documents that go to the test split, chosen by content

    def __post_init__(self) -> None:
        taken = 0.0
        for split in ("validation", "test"):
            share = getattr(self, f"{split}_share")
            _share(f"corpus.{split}_share", share)
            if not self._names(split):
                _require(share > 0, f"corpus.{split}_share above 0", share)
                taken += share
        _require(taken < 1, "corpus.validation_share + corpus.test_share below 1", taken)
        _at_least("corpus.max_characters", getattr(self, "max_characters", None), 1)
        for name in ("files", "test_files", "validation_files"):
            named = getattr(self, name, ())
            _require(len(named) <= _MOST_FILES, f"corpus.{name} of at most {_MOST_FILES} paths and globs", len(named))
            for value in named:
                _require(isinstance(value, str), f"corpus.{name} as paths", value)
        splits = getattr(self, "splits", None) or {}
        _require(len(splits) <= 3, "corpus.splits of train, validation and test", len(splits))
        for split, source in splits.items():
            _require(isinstance(source, str), f"corpus.splits.{split} as the name of a split", source)

    def _names(self, split: str) -> bool:
        """Return whether other settings say what a split is, so that no share of the documents is taken for it."""
        return bool(getattr(self, f"{split}_files", None)) or split in (getattr(self, "splits", None) or {})

    def located(self) -> CorpusConfig:
        """Return the same with paths that mean the same from every folder."""
        paths: dict[str, Any] = {}
        for name in set(PATHS) & {f.name for f in fields(self)}:
            value = getattr(self, name)
            if value is not None:
                paths[name] = _absolute(value) if isinstance(value, str) else [_absolute(path) for path in value]
        return replace(self, **paths)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of `textae.corpora.open_corpus`."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}
        return {name: value.name if isinstance(value, Enum) else value for name, value in values.items()}


@dataclass(slots=True, kw_only=True)
class PydocsConfig(CorpusConfig):
    """Docstrings and help topics of the running Python."""

    kind: str = "pydocs"  # which corpus; the group's option sets it


@dataclass(slots=True, kw_only=True)
class TextConfig(CorpusConfig):
    """The user's own files."""

    kind: str = "text"  # which corpus; the group's option sets it
    files: list[str] = MISSING  # paths, folders and globs: lines, csv, tsv, jsonl, json, parquet; plain or compressed
    test_files: list[str] = field(default_factory=list)  # of the test split; without them it is part of `files`
    validation_files: list[str] = field(default_factory=list)  # of the validation split, likewise
    field: str | None = None  # the text's column or key, with dots one within objects; lines have none
    label: str | None = None  # a column or key that is kept as each document's label
    max_characters: int | None = None  # documents are cut to so many characters
    format: FileFormat = FileFormat.auto  # how files are read; auto: as each one's name and content say
    encoding: str = "auto"  # of the files' text, as Python names it; auto: UTF-8, or as each file's bytes say
    delimiter: str | None = None  # a character between columns, or tab; null: what makes a column `field`
    document: DocumentUnit = DocumentUnit.record  # a line, row or object is a document, or each file as a whole
    on_bad_record: OnBadRecord = OnBadRecord.stop  # a record that cannot be read ends the reading, or is left out

    def __post_init__(self) -> None:
        CorpusConfig.__post_init__(self)
        _require(_is_encoding(self.encoding), "corpus.encoding as auto or an encoding of text", self.encoding)
        if self.delimiter is not None:
            self.delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter)
            single = len(self.delimiter) == 1 and self.delimiter not in '\r\n"'
            _require(single, "corpus.delimiter as one character, or tab", self.delimiter)
            tables = (FileFormat.auto, FileFormat.csv, FileFormat.tsv)
            _require(self.format in tables, "corpus.delimiter with corpus.format=csv or tsv", self.format.name)
        if self.document is DocumentUnit.file:
            for name in ("field", "label", "delimiter"):
                _require(
                    getattr(self, name) is None, f"no corpus.{name} with corpus.document=file", getattr(self, name)
                )
            lines = (FileFormat.auto, FileFormat.lines)
            _require(self.format in lines, "corpus.format=lines with corpus.document=file", self.format.name)


@dataclass(slots=True, kw_only=True)
class TfdsConfig(CorpusConfig):
    """A data set of TensorFlow Datasets, by its name."""

    kind: str = "tfds"  # which corpus; the group's option sets it
    name: str = MISSING  # the data set's name, as in ag_news_subset
    config: str | None = None  # the data set's own configuration, where it has several
    field: str | None = None  # the text's feature; needed where there are several of text
    label: str | None = None  # a feature that is kept as each document's label
    splits: dict[str, str] | None = None  # the data set's splits to take as train, validation and test
    tfds_dir: str | None = None  # where data sets are prepared, TFDS's own place by default
    max_characters: int | None = None  # documents are cut to so many characters


@dataclass(slots=True, kw_only=True)
class TokenizerConfig(Settings):
    """Text to ids."""

    kind: TokenizerKind = TokenizerKind.unigram  # how text becomes ids
    vocabulary_size: int | None = None  # ids; null: about target_vocabulary_size, as the texts allow
    target_vocabulary_size: int | None = None  # ids to aim at; null: 8192, of words 25002, of characters all
    sample_megabytes: float = 5.0  # how much text unigram and bpe learn from, in millions of characters

    def __post_init__(self) -> None:
        _at_least("tokenizer.target_vocabulary_size", self.target_vocabulary_size, 4, 1 << 24)
        if self.vocabulary_size is not None:
            least, most = _VOCABULARIES[self.kind.name]
            bounds = f"from {least} to {most}" if most > least else f"as {least}"
            _require(
                least <= self.vocabulary_size <= most,
                f"tokenizer.vocabulary_size {bounds} with tokenizer.kind={self.kind.name}",
                self.vocabulary_size,
            )
        _at_least("tokenizer.sample_megabytes", self.sample_megabytes, 0.001)

    def settings(self) -> dict[str, Any]:
        """Return the plain values that `textae.prepared.prepare` takes."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"kind": self.kind.name}


@dataclass(slots=True, kw_only=True)
class UpsamplerConfig(Settings):
    """How the decoder makes a sequence longer; `kernel_factor` times the stride is the kernel's size, both ways."""

    kind: UpsamplerKind = UpsamplerKind.transpose  # the way up
    kernel_factor: int = 1  # kernel size of the strided convolutions, in strides

    def __post_init__(self) -> None:
        _at_least("model.upsampler.kernel_factor", self.kernel_factor, 1, _MOST_KERNEL_FACTOR)


@dataclass(slots=True, kw_only=True)
class ModelConfig(Settings):
    """Embedding, encoder, latent, decoder. Level 0 is the tokens; stride i leads from level i to level i + 1."""

    strides: list[int] = field(default_factory=lambda: [4])  # by what each level is shorter than the one below
    widths: list[int] = field(default_factory=lambda: [256, 512])  # channels of each level
    units: list[int] = field(default_factory=lambda: [0, 1])  # residual units of each level, in either half
    encoder_units: list[int] | None = None  # the encoder's, where it has others; null: it has as many
    kernel_size: int = 3  # of the residual units
    expansion: float = 2.0  # inner channels of a residual unit, in times its width
    normalization: Normalization = Normalization.rms  # what stands in front of each residual unit
    upsampler: UpsamplerConfig = field(default_factory=UpsamplerConfig)  # how the decoder makes a sequence longer
    latent: LatentKind = LatentKind.chunk  # one latent per prod(strides) tokens, or one per text
    latent_size: int = 128  # numbers of a latent
    decoder_input: DecoderInput = DecoderInput.linear  # projections; or fourier, their waves (see train_encoder)
    latent_normalization: LatentNormalization = LatentNormalization.none  # how the latent is bounded
    latent_noise: float = 0.0  # standard deviation of noise on the latent, in training
    latent_dropout: float = 0.0  # share of the latent's numbers left out, in training
    variational: bool = False  # a variational autoencoder: the latent is drawn, in training
    kl_weight: float = 0.001  # weight of the KL divergence from N(0, 1), if variational
    free_bits: float = 0.5  # nats of KL divergence per number that cost nothing
    unit_dropout: float = 0.0  # dropout within residual units, in training
    tie_embeddings: bool = True  # one table for the ids that go in and those that come out
    output: OutputKind = OutputKind.dot  # logits as a dot product, or as a cosine times `logit_scale`
    logit_scale: float = 100.0  # what cosines are multiplied by
    output_bias: bool = False  # a bias for each id of the output
    max_length: int = 256  # tokens that are encoded together, a multiple of prod(strides)
    long_documents: LongDocuments = LongDocuments.split  # of more tokens: split into segments, cut, or left out

    def __post_init__(self) -> None:
        _require(
            len(self.strides) > 0 and all(s >= 1 for s in self.strides),
            "model.strides of one or more whole numbers of at least 1",
            list(self.strides),
        )
        _require(
            len(self.strides) <= _MOST_LEVELS, f"model.strides of at most {_MOST_LEVELS} numbers", len(self.strides)
        )
        for value in self.strides:
            _require(value <= _MOST_POSITIONS, f"model.strides of at most {_MOST_POSITIONS}", value)
        bounds = {"widths": (1, _MOST_CHANNELS), "units": (0, _MOST_UNITS), "encoder_units": (0, _MOST_UNITS)}
        for name, (least, most) in bounds.items():
            values = getattr(self, name)
            if values is None:
                continue
            _require(
                len(values) == len(self.strides) + 1,
                f"model.{name} with one entry more than model.strides ({len(self.strides) + 1})",
                list(values),
            )
            _require(all(value >= least for value in values), f"model.{name} of at least {least}", list(values))
            _require(all(value <= most for value in values), f"model.{name} of at most {most}", list(values))
        _at_least("model.kernel_size", self.kernel_size, 1, 1 << 16)
        _above("model.expansion", self.expansion, 1024)
        _at_least("model.latent_size", self.latent_size, 1, _MOST_CHANNELS)
        for name in ("latent_noise", "kl_weight", "free_bits"):
            _at_least(f"model.{name}", getattr(self, name), 0)
        for name in ("latent_dropout", "unit_dropout"):
            _share(f"model.{name}", getattr(self, name))
        _above("model.logit_scale", self.logit_scale)
        _require(
            self.decoder_input is DecoderInput.linear or self.widths[-1] % 2 == 0,
            "an even last number of model.widths with model.decoder_input=fourier",
            self.widths[-1],
        )
        stride = math.prod(self.strides)
        _require(
            self.max_length >= stride and self.max_length % stride == 0,
            f"model.max_length as a multiple of the product of model.strides ({stride})",
            self.max_length,
        )
        _at_least("model.max_length", self.max_length, 1, _MOST_POSITIONS)
        self._check_size()

    @property
    def latents_of_a_text(self) -> str:
        """What a text's latents are: "vector" (exactly one), "segments" (a vector for each) or "chunk" (blocks)."""
        if self.latent is LatentKind.vector:
            return "segments" if self.long_documents is LongDocuments.split else "vector"
        return self.latent.name

    def require_places(self) -> None:
        """Raise a ValueError if there is no room for a place for each token, with which such a model begins."""
        where = "with model.decoder_input=fourier and training.informed_start=true"
        _require(
            self.latent_normalization is not LatentNormalization.rms,
            f"model.latent_normalization none or tanh {where}",
            self.latent_normalization.name,
        )
        tokens = math.prod(self.strides) if self.latent is LatentKind.chunk else self.max_length
        _require(self.latent_size >= tokens, f"model.latent_size of at least {tokens} {where}", self.latent_size)
        numbers, covered = self.latent_size // tokens, 1
        for i, width in enumerate(self.widths):
            least = covered * max(numbers, 2) + (numbers if i == 0 else 0)
            _require(width >= least, f"model.widths[{i}] of at least {least} {where}", width)
            covered *= self.strides[i] if i < len(self.strides) else 1

    def numbers_at_once(self, positions: int) -> int:
        """Return about how many numbers the largest array has when so many positions are encoded and decoded together.

        At each level: the states, what its residual units widen them to, and the windows that convolutions see.
        """
        found, taps = [positions], self.upsampler.kernel_factor
        both = [self.units, self.units if self.encoder_units is None else self.encoder_units]
        resized = self.upsampler.kind in (UpsamplerKind.resize_nearest, UpsamplerKind.resize_linear)
        for i, width in enumerate(self.widths):
            if any(units[i] for units in both):
                found += [positions * self.kernel_size * width, positions * max(int(self.expansion * width), 1)]
            if i < len(self.strides):
                stride, high = self.strides[i], self.widths[i + 1]
                steps = -(-positions // stride)
                found += [positions * taps * width, steps * (taps + 1) * high]
                if resized:
                    found.append(positions * taps * stride * high)
                positions = steps
            found.append(positions * width)
        found.append(positions * (2 if self.variational else 1) * self.latent_size)
        if self.latent is LatentKind.vector:  # each text of at least one block has a score for every number of blocks
            found.append(positions * (self.max_length // math.prod(self.strides)))
        return max(found)

    def positions_at_once(self) -> int:
        """Return how many positions can be encoded and decoded together: at least those of one segment."""
        segments = max(1, MOST_NUMBERS // self.numbers_at_once(self.max_length))
        return segments * self.max_length

    def _check_size(self) -> None:
        """Raise a ValueError if building or using the model would take minutes, or one segment gigabytes."""
        encoder = self.units if self.encoder_units is None else self.encoder_units
        units = sum(self.units) + sum(encoder)
        _require(units <= _MOST_UNITS, f"at most {_MOST_UNITS} residual units in both halves of the model", units)
        for stride in self.strides:
            taps = stride * self.upsampler.kernel_factor
            _require(taps <= _MOST_TAPS, f"each of model.strides times kernel_factor to be at most {_MOST_TAPS}", taps)
        windows = units * self.kernel_size
        if self.upsampler.kind in (UpsamplerKind.resize_nearest, UpsamplerKind.resize_linear):
            windows += self.upsampler.kernel_factor * sum(self.strides)
        _require(
            windows <= _MOST_WINDOWS, f"at most {_MOST_WINDOWS} taps in all convolutions without a stride", windows
        )
        numbers = self.numbers_at_once(self.max_length)
        _require(
            numbers <= MOST_NUMBERS,
            f"model.max_length times channels times kernel to be at most {MOST_NUMBERS:,} numbers for one segment",
            numbers,
        )


@dataclass(slots=True, kw_only=True)
class CorruptionConfig(Settings):
    """What is done to the tokens that are encoded: shares of them, and how many places one moves at most."""

    drop: float = 0.0  # share of the tokens that are left out, the rest closing up
    mask: float = 0.0  # share of the tokens that the encoder does not see
    substitute: float = 0.0  # share of the tokens that become others, drawn evenly
    shuffle: int = 0  # the most places that a token moves

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("drop", "mask", "substitute")}
        for name, value in shares.items():
            _share(f"corruption.{name}", value)
        total = sum(shares.values())
        _require(total < 1, "corruption.drop + corruption.mask + corruption.substitute below 1", total)
        _at_least("corruption.shuffle", self.shuffle, 0, _MOST_POSITIONS)

    def require_alignment(self, model: ModelConfig) -> None:
        """Raise a ValueError if a model with a latent per block would have to find tokens in other blocks' latents."""
        if model.latent is LatentKind.chunk:
            where = "with model.latent=chunk, whose blocks stay where they are"
            _require(not self.drop, f"corruption.drop=0 {where}", self.drop)
            stride = math.prod(model.strides)
            _require(self.shuffle <= stride, f"corruption.shuffle of at most {stride} {where}", self.shuffle)


@dataclass(slots=True, kw_only=True)
class TrainingConfig(Settings):
    """How long, how fast, and what is kept."""

    seed: int = 0  # of weights, order and noise
    max_steps: int | None = 200  # updates after which training ends; null: no limit, here and in the next two
    max_epochs: float | None = None  # passes over the train split after which it ends
    max_minutes: float | None = None  # minutes after which it ends
    batch_tokens: int = 4096  # positions of a batch, padding included
    buckets: int = 32  # how many padded lengths there are at most
    optimizer: OptimizerKind = OptimizerKind.adamw  # how weights are updated
    learning_rate: float = 0.001  # the highest one
    schedule: Schedule = Schedule.cosine  # how the learning rate falls after the warm-up
    warmup_steps: int = 20  # updates over which the learning rate rises
    final_learning_rate: float = 0.02  # share of the learning rate that is left at the end
    weight_decay: float = 0.0  # what weights lose in an update, in learning rates
    beta_1: float = 0.9  # memory of the gradients' mean
    beta_2: float = 0.98  # memory of the gradients' squares
    clip_norm: float | None = 1.0  # longest gradient; null: any
    accumulate: int = 1  # batches of an update
    ema: float = 0.0  # memory of averaged weights, which are the ones kept; 0: no averaging
    label_smoothing: float = 0.0  # share of each target that is spread over the vocabulary
    gradient_filter: float = 0.01  # share of the loss's gradient that may be left out, of what is right already
    short_first: float = 0.0  # share of the first epoch during which texts grow longer
    informed_start: bool = True  # weights begin so that the untrained model gives tokens back, not at random
    train_encoder: bool = True  # false: only the decoder learns, as it has to with decoder_input=fourier
    train_waves: bool = True  # false: the frequencies of decoder_input=fourier stay, as they have to at higher rates
    random_tokens: float = 0.0  # share of tokens that become others, drawn evenly, in the text and in what is wanted
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)  # of what is encoded in training
    precision: Precision = Precision.auto  # type of the matrix products; auto: bfloat16 where it is faster
    compile: Compile = Compile.auto  # how a step is compiled; auto: what is faster
    log_every: int = 20  # updates from one line and point in TensorBoard to the next
    validate_every: int = 100  # updates from one validation to the next
    validation_documents: int | None = 500  # of the validation split; null: all
    overfit_documents: int | None = None  # train on so many documents only, and validate on them; null: no
    patience: int | None = None  # validations without a better one after which training ends; null: any
    checkpoint_minutes: float = 5.0  # minutes from one checkpoint to the next
    samples: int = 8  # texts that are shown with their reconstructions
    resume: Resume = Resume.auto  # what happens when the folder holds a run: go on, or refuse
    on_nonfinite: OnNonfinite = OnNonfinite.stop  # what a loss or gradient that is not finite does

    def __post_init__(self) -> None:
        _require(
            any(limit is not None for limit in (self.max_steps, self.max_epochs, self.max_minutes)),
            "one of training.max_steps, training.max_epochs, training.max_minutes",
            None,
        )
        _at_least("training.max_steps", self.max_steps, 1)
        for name in ("max_epochs", "max_minutes"):
            _above(f"training.{name}", getattr(self, name))
        _require(0 <= self.seed < 2**31, "training.seed in [0, 2**31)", self.seed)
        _at_least("training.batch_tokens", self.batch_tokens, 1, _MOST_POSITIONS)
        for name in (
            "buckets",
            "accumulate",
            "log_every",
            "validate_every",
            "validation_documents",
            "overfit_documents",
            "patience",
        ):
            _at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("warmup_steps", "weight_decay", "samples", "checkpoint_minutes"):
            _at_least(f"training.{name}", getattr(self, name), 0)
        _above("training.learning_rate", self.learning_rate, 3e38)
        _share("training.final_learning_rate", self.final_learning_rate, below_one=False)
        for name in ("beta_1", "beta_2", "ema", "label_smoothing", "gradient_filter", "short_first", "random_tokens"):
            _share(f"training.{name}", getattr(self, name))
        _above("training.clip_norm", self.clip_norm, 3e38)


@dataclass(slots=True, kw_only=True)
class Config(Settings):
    """A whole run."""

    corpus: CorpusConfig = MISSING  # what is trained on
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)  # text to ids
    model: ModelConfig = field(default_factory=ModelConfig)  # the autoencoder
    training: TrainingConfig = field(default_factory=TrainingConfig)  # how it is trained
    name: str = "default"  # the folder under outputs/
    data_dir: str = "data"  # prepared corpora, tokenizers and token stores
    objective: str = "loss"  # the metric that a search makes better

    def __post_init__(self) -> None:
        _objective("objective", self.objective)
        _folder("data_dir", self.data_dir)
        _require(
            self.training.batch_tokens >= self.model.max_length,
            f"training.batch_tokens of at least model.max_length ({self.model.max_length})",
            self.training.batch_tokens,
        )
        self.training.corruption.require_alignment(self.model)
        if not self.training.train_encoder:
            tied = self.model.tie_embeddings
            _require(not tied, "model.tie_embeddings=false with training.train_encoder=false", tied)
        if not self.training.train_waves:
            seen = self.model.decoder_input
            _require(
                seen is DecoderInput.fourier,
                "model.decoder_input=fourier with training.train_waves=false",
                seen.name,
            )
        if self.model.decoder_input is DecoderInput.fourier:
            _require(
                self.training.precision is not Precision.bfloat16,
                "training.precision auto or float32 with model.decoder_input=fourier, whose latents are finer",
                self.training.precision.name,
            )
            if self.training.informed_start:
                self.model.require_places()

    def located(self) -> Config:
        """Return the same with paths that mean the same from every folder."""
        return replace(self, corpus=self.corpus.located(), data_dir=_absolute(self.data_dir))


@dataclass(slots=True, kw_only=True)
class RunCorpusConfig(CorpusConfig):
    """The corpus of the run that a command works on."""

    kind: str = "run"  # that of the run


@dataclass(slots=True, kw_only=True)
class EvaluateConfig(Settings):
    """What `textae.evaluate` takes."""

    run: str = MISSING  # the run's folder
    corpus: CorpusConfig = MISSING  # that of the run, or another
    split: str = "test"  # train, validation or test
    latent_noise: float = 0.0  # standard deviation of noise on the latents
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)  # of what is encoded
    by_length: str | None = None  # a CSV file of figures by document length; null: none
    data_dir: str = "data"  # prepared corpora

    def __post_init__(self) -> None:
        _split(self.split)
        _folder("data_dir", self.data_dir)
        _at_least("latent_noise", self.latent_noise, 0)


@dataclass(slots=True, kw_only=True)
class ReconstructConfig(Settings):
    """What `textae.reconstruct` takes; input and output None: standard input and output."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class EncodeConfig(Settings):
    """What `textae.encode` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str = MISSING  # a file: .npy, .npz or .parquet


@dataclass(slots=True, kw_only=True)
class DecodeConfig(Settings):
    """What `textae.decode` takes."""

    run: str = MISSING  # the run's folder
    input: str = MISSING  # a file by textae.encode
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class ScoreConfig(Settings):
    """What `textae.score` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str | None = None  # a file; null: standard output
    sort: bool = False  # the highest scores first


@dataclass(slots=True, kw_only=True)
class InterpolateConfig(Settings):
    """What `textae.interpolate` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file of two lines; null: standard input
    output: str | None = None  # a file; null: standard output
    steps: int = 7  # how many texts, the two themselves among them

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 2)


@dataclass(slots=True, kw_only=True)
class ArithmeticConfig(Settings):
    """What `textae.arithmetic` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file of three lines; null: standard input
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class NeighboursConfig(Settings):
    """What `textae.neighbours` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file of texts; null: standard input
    output: str | None = None  # a file; null: standard output
    documents: str | None = None  # a file of documents, a line each; null: those of the corpus
    corpus: CorpusConfig = MISSING  # that of the run, or another
    split: str = "train"  # train, validation or test
    count: int = 10  # documents for each text
    data_dir: str = "data"  # prepared corpora

    def __post_init__(self) -> None:
        _split(self.split)
        _folder("data_dir", self.data_dir)
        _at_least("count", self.count, 1)
        both = self.documents is not None and self.corpus.kind != "run"
        _require(not both, "documents=FILE or corpus=..., and not both of them", self.documents)
        shared = self.documents == "-" and self.input in (None, "-")
        _require(not shared, "input=FILE with documents=-, which takes all of standard input", self.input)


@dataclass(slots=True, kw_only=True)
class SampleConfig(Settings):
    """What `textae.sample` takes."""

    run: str = MISSING  # the run's folder
    output: str | None = None  # a file; null: standard output
    count: int = 10  # how many texts
    seed: int = 0  # of the draws
    blocks: int = 8  # latents of a text, where a model has several for one

    def __post_init__(self) -> None:
        _at_least("count", self.count, 0)
        _at_least("seed", self.seed, 0)
        _at_least("blocks", self.blocks, 1)


class ExportFormat(Enum):
    """The formats that a run can be exported to."""

    saved_model = "saved_model"
    onnx = "onnx"


@dataclass(slots=True, kw_only=True)
class ExportConfig(Settings):
    """What `textae.export` takes."""

    run: str = MISSING  # the run's folder
    output: str = MISSING  # the folder to write, a new one
    format: ExportFormat = ExportFormat.saved_model  # SavedModel or ONNX


@dataclass(slots=True, kw_only=True)
class ProbeConfig(Settings):
    """What `textae.probe` takes."""

    run: str = MISSING  # the run's folder
    corpus: CorpusConfig = MISSING  # one with labels
    labels: int | None = None  # labelled train documents that are used; null: all
    seed: int = 0  # of their choice
    data_dir: str = "data"  # prepared corpora

    def __post_init__(self) -> None:
        _folder("data_dir", self.data_dir)
        _at_least("labels", self.labels, 2)
        _at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig(Settings):
    """What `textae.report` takes."""

    runs: str = MISSING  # a folder, or a glob of folders, with runs
    sort: str = "loss"  # the metric that orders the table
    csv: str | None = None  # a file that every column is written to; null: none
    plot: str | None = None  # a file that a plot is written to; null: none

    def __post_init__(self) -> None:
        _objective("sort", self.sort)


CORPORA = {"pydocs": PydocsConfig, "text": TextConfig, "tfds": TfdsConfig}
COMMANDS = {
    "evaluate": EvaluateConfig,
    "reconstruct": ReconstructConfig,
    "encode": EncodeConfig,
    "decode": DecodeConfig,
    "score": ScoreConfig,
    "interpolate": InterpolateConfig,
    "arithmetic": ArithmeticConfig,
    "neighbours": NeighboursConfig,
    "sample": SampleConfig,
    "export": ExportConfig,
    "probe": ProbeConfig,
    "report": ReportConfig,
}


def config_dir() -> Path:
    """Return the folder of the YAML files: the wheel's own copy, else the checkout's."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def register() -> None:
    """Store the schemas under the names that the YAML files' defaults lists use.

    Those of groups have a group of their own, so that a sweep over `model=glob(*)` finds models only.
    """
    Plugins.instance()  # they store what the files of configs/hydra take the place of
    store = ConfigStore.instance()
    for group, name in (("launcher", "joblib"), ("sweeper", "optuna")):
        store.repo["hydra"].get(group, {}).pop(f"{name}.yaml", None)
    store.store(name="config_schema", node=Config)
    for kind, schema in (CORPORA | {"run": RunCorpusConfig}).items():
        store.store(group="schema", name=f"{kind}_corpus", node=schema)
    for name, schema in COMMANDS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="schema", name="tokenizer", node=TokenizerConfig)
    store.store(group="schema", name="model", node=ModelConfig)
    store.store(group="schema", name="upsampler", node=UpsamplerConfig)
    store.store(group="schema", name="training", node=TrainingConfig)
    OmegaConf.register_new_resolver("textae.direction", _direction, replace=True)


def _direction(objective: str) -> str:
    """Return "minimize" or "maximize"; a name that is none is refused later, with the whole configuration."""
    return DIRECTIONS.get(objective, "minimize")


def resolve(config: DictConfig) -> Any:
    """Return the checked configuration.

    Raises:
        ValueError: a value, or two values together, that cannot be; says what was expected and received.
    """
    try:
        return OmegaConf.to_object(config)  # runs each __post_init__
    except AttributeError as error:  # slots refuse what +group.name=value adds
        raise ValueError(f"expected settings that exist: {str(error).splitlines()[0]:.300}") from error


def from_mapping(values: dict[str, Any]) -> Config:
    """Build a `Config` from the plain values of a run folder's config file.

    Raises:
        ValueError: an unknown corpus kind, a setting that does not exist, a value of another type; and as `resolve`.
    """
    for name, value in flat(values).items():
        most = _MOST_FILES if name.startswith("corpus.") else 2 * _MOST_LEVELS
        if isinstance(value, (list, tuple)) and len(value) > most:  # OmegaConf would take minutes over them
            raise ValueError(f"expected at most {most:,} values for {name:.100}, received {len(value):,}")
        if "${" in f"{name}{value!r}":  # OmegaConf would look up what stands there, in the environment or elsewhere
            raise ValueError(f"expected plain values in a run's settings, received {value!r:.100} as {name:.100}")
    corpus = values.get("corpus")
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if not isinstance(kind, str) or kind not in CORPORA:
        raise ValueError(f"expected corpus.kind to be one of {', '.join(CORPORA)}, received {kind!r:.100}")
    schema = OmegaConf.structured(Config)
    schema.corpus = OmegaConf.structured(CORPORA[kind])
    try:
        return resolve(OmegaConf.merge(schema, values))
    except (OmegaConfBaseException, OverflowError) as error:
        raise ValueError(f"expected a run's settings: {str(error).splitlines()[0]:.300}") from error


def to_mapping(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, enumerations by name: the inverse of `from_mapping`."""
    return OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out
