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
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


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


def _require(condition: bool, expected: str, received: object) -> None:
    if not condition:
        raise ValueError(f"expected {expected}, received {received!r}")


def _share(name: str, value: float, below_one: bool = True) -> None:
    upper = value < 1 if below_one else value <= 1
    _require(value >= 0 and upper, f"{name} in [0, 1{')' if below_one else ']'}", value)


def _at_least(name: str, value: float | None, least: float) -> None:
    if value is not None:
        _require(value >= least and math.isfinite(value), f"{name} of at least {least}", value)


@dataclass(slots=True, kw_only=True)
class CorpusConfig:
    """What every corpus has."""

    kind: str = MISSING
    validation_share: float = 0.02
    test_share: float = 0.02

    def __post_init__(self) -> None:
        _share("corpus.validation_share", self.validation_share)
        _share("corpus.test_share", self.test_share)

    def settings(self) -> dict[str, Any]:
        """Return the keyword arguments of `textae.corpora.open_corpus`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}


@dataclass(slots=True, kw_only=True)
class PydocsConfig(CorpusConfig):
    """Docstrings and help topics of the running Python."""

    kind: str = "pydocs"


@dataclass(slots=True, kw_only=True)
class TextConfig(CorpusConfig):
    """The user's own files."""

    kind: str = "text"
    files: list[str] = MISSING
    test_files: list[str] = field(default_factory=list)
    validation_files: list[str] = field(default_factory=list)
    field: str | None = None
    label: str | None = None
    max_characters: int | None = None


@dataclass(slots=True, kw_only=True)
class TfdsConfig(CorpusConfig):
    """A data set of TensorFlow Datasets, by its name."""

    kind: str = "tfds"
    name: str = MISSING
    config: str | None = None
    field: str | None = None
    label: str | None = None
    splits: dict[str, str] | None = None
    tfds_dir: str | None = None
    max_characters: int | None = None


@dataclass(slots=True, kw_only=True)
class TokenizerConfig:
    """Text to ids."""

    kind: TokenizerKind = TokenizerKind.unigram
    vocabulary_size: int | None = None  # what suits the corpus: 8192, or as many as it fills
    sample_megabytes: float = 5.0

    def __post_init__(self) -> None:
        _at_least("tokenizer.vocabulary_size", self.vocabulary_size, 4)
        _at_least("tokenizer.sample_megabytes", self.sample_megabytes, 0.001)


@dataclass(slots=True, kw_only=True)
class UpsamplerConfig:
    """How the decoder makes a sequence longer; `kernel_factor` times the stride is the kernel's size, both ways."""

    kind: UpsamplerKind = UpsamplerKind.transpose
    kernel_factor: int = 1

    def __post_init__(self) -> None:
        _at_least("model.upsampler.kernel_factor", self.kernel_factor, 1)


@dataclass(slots=True, kw_only=True)
class ModelConfig:
    """Embedding, encoder, latent, decoder. Level 0 is the tokens; stride i leads from level i to level i + 1."""

    strides: list[int] = field(default_factory=lambda: [4])
    widths: list[int] = field(default_factory=lambda: [256, 512])
    units: list[int] = field(default_factory=lambda: [0, 1])
    kernel_size: int = 3
    expansion: float = 2.0
    normalization: Normalization = Normalization.rms
    upsampler: UpsamplerConfig = field(default_factory=UpsamplerConfig)
    latent: LatentKind = LatentKind.chunk
    latent_size: int = 128
    latent_normalization: LatentNormalization = LatentNormalization.none
    latent_noise: float = 0.0
    latent_dropout: float = 0.0
    variational: bool = False
    kl_weight: float = 0.001
    free_bits: float = 0.5
    unit_dropout: float = 0.0
    tie_embeddings: bool = True
    output: OutputKind = OutputKind.dot
    logit_scale: float = 100.0
    output_bias: bool = False
    max_length: int = 256
    long_documents: LongDocuments = LongDocuments.split

    def __post_init__(self) -> None:
        _require(
            len(self.strides) > 0 and all(s >= 1 for s in self.strides),
            "model.strides of one or more whole numbers of at least 1",
            list(self.strides),
        )
        for name in ("widths", "units"):
            values = getattr(self, name)
            _require(
                len(values) == len(self.strides) + 1,
                f"model.{name} with one entry more than model.strides ({len(self.strides) + 1})",
                list(values),
            )
        _require(all(w >= 1 for w in self.widths), "model.widths of at least 1", list(self.widths))
        _require(all(u >= 0 for u in self.units), "model.units of at least 0", list(self.units))
        _at_least("model.kernel_size", self.kernel_size, 1)
        _require(self.expansion > 0, "model.expansion above 0", self.expansion)
        _at_least("model.latent_size", self.latent_size, 1)
        for name in ("latent_noise", "kl_weight", "free_bits"):
            _at_least(f"model.{name}", getattr(self, name), 0)
        for name in ("latent_dropout", "unit_dropout"):
            _share(f"model.{name}", getattr(self, name))
        _require(self.logit_scale > 0, "model.logit_scale above 0", self.logit_scale)
        stride = math.prod(self.strides)
        _require(
            self.max_length >= stride and self.max_length % stride == 0,
            f"model.max_length as a multiple of the product of model.strides ({stride})",
            self.max_length,
        )


@dataclass(slots=True, kw_only=True)
class CorruptionConfig:
    """What is done to the tokens that are encoded: shares of them, and how many places one moves at most."""

    drop: float = 0.0
    mask: float = 0.0
    substitute: float = 0.0
    shuffle: int = 0

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("drop", "mask", "substitute")}
        for name, value in shares.items():
            _share(f"corruption.{name}", value)
        total = sum(shares.values())
        _require(total < 1, "corruption.drop + corruption.mask + corruption.substitute below 1", total)
        _at_least("corruption.shuffle", self.shuffle, 0)

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

    seed: int = 0
    max_steps: int | None = 300
    max_epochs: float | None = None
    max_minutes: float | None = None
    batch_tokens: int = 4096
    buckets: int = 32
    optimizer: OptimizerKind = OptimizerKind.adamw
    learning_rate: float = 0.002
    schedule: Schedule = Schedule.cosine
    warmup_steps: int = 50
    final_learning_rate: float = 0.02
    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.98
    clip_norm: float | None = 1.0
    accumulate: int = 1
    ema: float = 0.0
    label_smoothing: float = 0.0
    short_first: float = 0.0
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    precision: Precision = Precision.auto
    compile: Compile = Compile.auto
    log_every: int = 20
    validate_every: int = 100
    validation_documents: int | None = 500
    patience: int | None = None
    checkpoint_minutes: float = 5.0
    samples: int = 8
    resume: Resume = Resume.auto
    on_nonfinite: OnNonfinite = OnNonfinite.stop

    def __post_init__(self) -> None:
        _require(
            any(limit is not None for limit in (self.max_steps, self.max_epochs, self.max_minutes)),
            "one of training.max_steps, training.max_epochs, training.max_minutes",
            None,
        )
        _at_least("training.max_steps", self.max_steps, 1)
        for name in ("max_epochs", "max_minutes"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"training.{name} above 0", value)
        _require(0 <= self.seed < 2**31, "training.seed in [0, 2**31)", self.seed)
        for name in (
            "batch_tokens",
            "buckets",
            "accumulate",
            "log_every",
            "validate_every",
            "validation_documents",
            "patience",
        ):
            _at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("warmup_steps", "weight_decay", "samples", "checkpoint_minutes"):
            _at_least(f"training.{name}", getattr(self, name), 0)
        _require(self.learning_rate > 0, "training.learning_rate above 0", self.learning_rate)
        _share("training.final_learning_rate", self.final_learning_rate, below_one=False)
        for name in ("beta_1", "beta_2", "ema", "label_smoothing", "short_first"):
            _share(f"training.{name}", getattr(self, name))
        _require(self.clip_norm is None or self.clip_norm > 0, "training.clip_norm above 0", self.clip_norm)


@dataclass(slots=True, kw_only=True)
class Config:
    """A whole run."""

    corpus: CorpusConfig = MISSING
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    name: str = "default"
    data_dir: str = "data"

    def __post_init__(self) -> None:
        _require(
            self.training.batch_tokens >= self.model.max_length,
            f"training.batch_tokens of at least model.max_length ({self.model.max_length})",
            self.training.batch_tokens,
        )
        self.training.corruption.require_alignment(self.model)


@dataclass(slots=True, kw_only=True)
class RunCorpusConfig(CorpusConfig):
    """The corpus of the run that a command works on."""

    kind: str = "run"


@dataclass(slots=True, kw_only=True)
class EvaluateConfig:
    """What `textae.evaluate` takes."""

    run: str = MISSING
    corpus: CorpusConfig = MISSING
    split: str = "test"
    latent_noise: float = 0.0
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    by_length: str | None = None
    data_dir: str = "data"

    def __post_init__(self) -> None:
        _require(self.split in ("train", "validation", "test"), "split as train, validation or test", self.split)
        _at_least("latent_noise", self.latent_noise, 0)


@dataclass(slots=True, kw_only=True)
class ReconstructConfig:
    """What `textae.reconstruct` takes; input and output None: standard input and output."""

    run: str = MISSING
    input: str | None = None
    output: str | None = None


@dataclass(slots=True, kw_only=True)
class EncodeConfig:
    """What `textae.encode` takes."""

    run: str = MISSING
    input: str | None = None
    output: str = MISSING


@dataclass(slots=True, kw_only=True)
class DecodeConfig:
    """What `textae.decode` takes."""

    run: str = MISSING
    input: str = MISSING
    output: str | None = None


@dataclass(slots=True, kw_only=True)
class ProbeConfig:
    """What `textae.probe` takes; labels: how many labelled train documents are used, None: all."""

    run: str = MISSING
    corpus: CorpusConfig = MISSING
    labels: int | None = None
    seed: int = 0
    data_dir: str = "data"

    def __post_init__(self) -> None:
        _at_least("labels", self.labels, 2)
        _at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig:
    """What `textae.report` takes."""

    runs: str = MISSING
    sort: str = "token_accuracy"
    csv: str | None = None


CORPORA = {"pydocs": PydocsConfig, "text": TextConfig, "tfds": TfdsConfig}
COMMANDS = {
    "evaluate": EvaluateConfig,
    "reconstruct": ReconstructConfig,
    "encode": EncodeConfig,
    "decode": DecodeConfig,
    "probe": ProbeConfig,
    "report": ReportConfig,
}


def config_dir() -> Path:
    """Return the folder of the YAML files: the wheel's own copy, else the checkout's."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def register() -> None:
    """Store the schemas under the names that the YAML files' defaults lists use."""
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    for kind, schema in CORPORA.items():
        store.store(group="corpus", name=f"{kind}_schema", node=schema)
    store.store(group="corpus", name="run_schema", node=RunCorpusConfig)
    for name, schema in COMMANDS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="tokenizer", name="tokenizer_schema", node=TokenizerConfig)
    store.store(group="model", name="model_schema", node=ModelConfig)
    store.store(group="model/upsampler", name="upsampler_schema", node=UpsamplerConfig)
    store.store(group="training", name="training_schema", node=TrainingConfig)


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
    corpus = values.get("corpus")
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if kind not in CORPORA:
        raise ValueError(f"expected corpus.kind to be one of {', '.join(CORPORA)}, received {kind!r}")
    schema = OmegaConf.structured(Config)
    schema.corpus = OmegaConf.structured(CORPORA[kind])
    try:
        return resolve(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
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
