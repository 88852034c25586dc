"""The configuration: one dataclass per config group, checked once, then passed on as plain values.

Only this module and the entry points know Hydra. `register()` puts the schemas where the YAML files of `configs/`
name them, `resolve()` turns a composed config into a checked `Config`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

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
_MOST_UNITS = 1024
_MOST_POSITIONS = 1 << 24


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


def _split(name: str) -> None:
    _require(name in ("train", "validation", "test"), "split as train, validation or test", name)


def _objective(name: str, value: str) -> None:
    _require(value in DIRECTIONS, f"{name} as one of {', '.join(DIRECTIONS)}", value)


@dataclass(slots=True, kw_only=True)
class CorpusConfig:
    """What every corpus has."""

    kind: str = MISSING  # which corpus; the group's option sets it
    validation_share: float = 0.02  # share of the documents that go to the validation split, chosen by content
    test_share: float = 0.02  # share of the documents that go to the test split, chosen by content

    def __post_init__(self) -> None:
        _share("corpus.validation_share", self.validation_share)
        _share("corpus.test_share", self.test_share)
        _at_least("corpus.max_characters", getattr(self, "max_characters", None), 1)
        for name in ("files", "test_files", "validation_files"):
            for value in getattr(self, name, ()):
                _require(isinstance(value, str), f"corpus.{name} as paths", value)
        for split, source in (getattr(self, "splits", None) or {}).items():
            _require(isinstance(source, str), f"corpus.splits.{split} as the name of a split", source)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of `textae.corpora.open_corpus`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}


@dataclass(slots=True, kw_only=True)
class PydocsConfig(CorpusConfig):
    """Docstrings and help topics of the running Python."""

    kind: str = "pydocs"  # which corpus; the group's option sets it


@dataclass(slots=True, kw_only=True)
class TextConfig(CorpusConfig):
    """The user's own files."""

    kind: str = "text"  # which corpus; the group's option sets it
    files: list[str] = MISSING  # paths and globs: txt, log, jsonl, csv, tsv, parquet; plain, gz, bz2, xz, zst
    test_files: list[str] = field(default_factory=list)  # of the test split; without them it is part of `files`
    validation_files: list[str] = field(default_factory=list)  # of the validation split, likewise
    field: str | None = None  # the text's column or key: jsonl, csv, tsv and parquet need it
    label: str | None = None  # a column or key that is kept as each document's label
    max_characters: int | None = None  # documents are cut to so many characters


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
class TokenizerConfig:
    """Text to ids."""

    kind: TokenizerKind = TokenizerKind.unigram  # how text becomes ids
    vocabulary_size: int | None = None  # ids; null: what suits the corpus, 8192 or as many as it fills
    sample_megabytes: float = 5.0  # how much text unigram and bpe learn from, in millions of characters

    def __post_init__(self) -> None:
        _at_least("tokenizer.vocabulary_size", self.vocabulary_size, 4, 1 << 24)
        _at_least("tokenizer.sample_megabytes", self.sample_megabytes, 0.001)


@dataclass(slots=True, kw_only=True)
class UpsamplerConfig:
    """How the decoder makes a sequence longer; `kernel_factor` times the stride is the kernel's size, both ways."""

    kind: UpsamplerKind = UpsamplerKind.transpose  # the way up
    kernel_factor: int = 1  # kernel size of the strided convolutions, in strides

    def __post_init__(self) -> None:
        _at_least("model.upsampler.kernel_factor", self.kernel_factor, 1, 1024)


@dataclass(slots=True, kw_only=True)
class ModelConfig:
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

    def about_parameters(self, vocabulary_size: int) -> int:
        """Return roughly how many parameters the model has, from its largest arrays alone, building nothing."""
        levels = list(zip(self.strides, self.widths[:-1], self.widths[1:], strict=True))
        resampling = sum(2 * self.upsampler.kernel_factor * stride * low * high for stride, low, high in levels)
        units = sum(
            count * width * round(self.expansion * width) * (self.kernel_size + 1)
            for counts in (self.units, self.units if self.encoder_units is None else self.encoder_units)
            for count, width in zip(counts, self.widths, strict=True)
        )
        blocks = self.max_length // math.prod(self.strides) if self.latent is LatentKind.vector else 1
        latent = (3 if self.variational else 2) * blocks * self.widths[-1] * self.latent_size
        embeddings = (1 if self.tie_embeddings else 2) * vocabulary_size * self.widths[0]
        return resampling + units + latent + embeddings


@dataclass(slots=True, kw_only=True)
class CorruptionConfig:
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
class TrainingConfig:
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
class Config:
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


@dataclass(slots=True, kw_only=True)
class RunCorpusConfig(CorpusConfig):
    """The corpus of the run that a command works on."""

    kind: str = "run"  # that of the run


@dataclass(slots=True, kw_only=True)
class EvaluateConfig:
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
        _at_least("latent_noise", self.latent_noise, 0)


@dataclass(slots=True, kw_only=True)
class ReconstructConfig:
    """What `textae.reconstruct` takes; input and output None: standard input and output."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class EncodeConfig:
    """What `textae.encode` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str = MISSING  # a file: .npy, .npz or .parquet


@dataclass(slots=True, kw_only=True)
class DecodeConfig:
    """What `textae.decode` takes."""

    run: str = MISSING  # the run's folder
    input: str = MISSING  # a file by textae.encode
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class ScoreConfig:
    """What `textae.score` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file; null: standard input
    output: str | None = None  # a file; null: standard output
    sort: bool = False  # the highest scores first


@dataclass(slots=True, kw_only=True)
class InterpolateConfig:
    """What `textae.interpolate` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file of two lines; null: standard input
    output: str | None = None  # a file; null: standard output
    steps: int = 7  # how many texts, the two themselves among them

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 2)


@dataclass(slots=True, kw_only=True)
class ArithmeticConfig:
    """What `textae.arithmetic` takes."""

    run: str = MISSING  # the run's folder
    input: str | None = None  # a file of three lines; null: standard input
    output: str | None = None  # a file; null: standard output


@dataclass(slots=True, kw_only=True)
class NeighboursConfig:
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
        _at_least("count", self.count, 1)
        both = self.documents is not None and self.corpus.kind != "run"
        _require(not both, "documents=FILE or corpus=..., and not both of them", self.documents)


@dataclass(slots=True, kw_only=True)
class SampleConfig:
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
class ExportConfig:
    """What `textae.export` takes."""

    run: str = MISSING  # the run's folder
    output: str = MISSING  # the folder to write, a new one
    format: ExportFormat = ExportFormat.saved_model  # SavedModel or ONNX


@dataclass(slots=True, kw_only=True)
class ProbeConfig:
    """What `textae.probe` takes."""

    run: str = MISSING  # the run's folder
    corpus: CorpusConfig = MISSING  # one with labels
    labels: int | None = None  # labelled train documents that are used; null: all
    seed: int = 0  # of their choice
    data_dir: str = "data"  # prepared corpora

    def __post_init__(self) -> None:
        _at_least("labels", self.labels, 2)
        _at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig:
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
        raise ValueError(f"expected settings that exist: {str(error).splitlines()[0]}") from error


def from_mapping(values: dict[str, Any]) -> Config:
    """Build a `Config` from the plain values of a run folder's config file.

    Raises:
        ValueError: an unknown corpus kind, a setting that does not exist, a value of another type; and as `resolve`.
    """
    for name, value in flat(values).items():
        if "${" in f"{name}{value!r}":  # OmegaConf would look up what stands there, in the environment or elsewhere
            raise ValueError(f"expected plain values in a run's settings, received {value!r:.100} as {name}")
    corpus = values.get("corpus")
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if not isinstance(kind, str) or kind not in CORPORA:
        raise ValueError(f"expected corpus.kind to be one of {', '.join(CORPORA)}, received {kind!r}")
    schema = OmegaConf.structured(Config)
    schema.corpus = OmegaConf.structured(CORPORA[kind])
    try:
        return resolve(OmegaConf.merge(schema, values))
    except (OmegaConfBaseException, OverflowError) as error:
        raise ValueError(f"expected a run's settings: {str(error).splitlines()[0]}") from error


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
