"""The schema of a run: one dataclass per config group, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from omegaconf import MISSING

from textae.config.checks import (
    MOST_CHANNELS,
    MOST_FILES,
    MOST_KERNEL_FACTOR,
    MOST_LEVELS,
    MOST_NUMBERS,
    MOST_POSITIONS,
    MOST_RESIDUAL_BLOCKS,
    MOST_TAPS,
    MOST_WINDOWS,
    SMALLEST_SAMPLE,
    Settings,
    absolute_path,
    is_encoding,
    require,
    require_above,
    require_at_least,
    require_folder,
    require_objective,
    require_share,
    require_vocabulary_size,
)
from textae.config.choices import (
    Compile,
    DocumentUnit,
    FileFormat,
    Initialization,
    LatentKind,
    LatentNormalization,
    Normalization,
    OnBadRecord,
    OnNonfinite,
    OptimizerKind,
    OutputKind,
    Overflow,
    Precision,
    Resume,
    Schedule,
    TokenizerKind,
    UpsamplerKind,
)

PATHS = ("files", "test_files", "validation_files", "tfds_dir")  # settings of a corpus that say where it lies


@dataclass(slots=True, kw_only=True)
class CorpusConfig(Settings):
    """What every corpus has."""

    kind: str = MISSING  # which corpus; the group's option sets it
    validation_share: float = 0.02  # share of the documents that go to the validation split, chosen by content
    test_share: float = 0.02  # share of the documents that go to the test split, chosen by content

    def __post_init__(self) -> None:
        for split in ("validation", "test"):
            require_share(f"corpus.{split}_share", getattr(self, f"{split}_share"))
        fractions = self.split_fractions()
        for split, share in fractions.items():
            require(share > 0, f"corpus.{split}_share above 0", share)
        taken = sum(fractions.values())
        require(taken < 1, "corpus.validation_share + corpus.test_share below 1", taken)
        require_at_least("corpus.max_characters", getattr(self, "max_characters", None), 1)
        for name in ("files", "test_files", "validation_files"):
            named = getattr(self, name, ())
            require(len(named) <= MOST_FILES, f"corpus.{name} of at most {MOST_FILES} paths and globs", len(named))
            for value in named:
                require(isinstance(value, str), f"corpus.{name} as paths", value)
        splits = getattr(self, "splits", None) or {}
        require(len(splits) <= 3, "corpus.splits of train, validation and test", len(splits))
        for split, source in splits.items():
            require(isinstance(source, str), f"corpus.splits.{split} as the name of a split", source)

    def _names(self, split: str) -> bool:
        """Return whether other settings say what a split is, so that no share of the documents is taken for it."""
        return bool(getattr(self, f"{split}_files", None)) or split in (getattr(self, "splits", None) or {})

    def located(self) -> CorpusConfig:
        """Return the same with paths that mean the same from every folder."""
        paths: dict[str, Any] = {}
        for name in set(PATHS) & {f.name for f in fields(self)}:
            value = getattr(self, name)
            if value is not None:
                one = isinstance(value, str)
                paths[name] = absolute_path(value) if one else [absolute_path(path) for path in value]
        return replace(self, **paths)

    def split_fractions(self) -> dict[str, float]:
        """Return the fraction of the documents of each split that no other setting names."""
        shares = {"validation": self.validation_share, "test": self.test_share}
        return {split: share for split, share in shares.items() if not self._names(split)}


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
        require(is_encoding(self.encoding), "corpus.encoding as auto or an encoding of text", self.encoding)
        if self.delimiter is not None:
            self.delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter)
            single = len(self.delimiter) == 1 and self.delimiter not in '\r\n"'
            require(single, "corpus.delimiter as one character, or tab", self.delimiter)
            tables = (FileFormat.auto, FileFormat.csv, FileFormat.tsv)
            require(self.format in tables, "corpus.delimiter with corpus.format=csv or tsv", self.format.name)
        if self.document is DocumentUnit.file:
            for name in ("field", "label", "delimiter"):
                require(getattr(self, name) is None, f"no corpus.{name} with corpus.document=file", getattr(self, name))
            lines = (FileFormat.auto, FileFormat.lines)
            require(self.format in lines, "corpus.format=lines with corpus.document=file", self.format.name)


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
        require_at_least("tokenizer.target_vocabulary_size", self.target_vocabulary_size, 4, 1 << 24)
        if self.vocabulary_size is not None:
            require_vocabulary_size(self.kind.name, self.vocabulary_size)
        require_at_least("tokenizer.sample_megabytes", self.sample_megabytes, SMALLEST_SAMPLE)


@dataclass(slots=True, kw_only=True)
class UpsamplerConfig(Settings):
    """How the decoder makes a sequence longer; `kernel_factor` times the stride is the kernel's size, both ways."""

    kind: UpsamplerKind = UpsamplerKind.transpose  # the way up
    kernel_factor: int = 1  # kernel size of the strided convolutions, in strides

    def __post_init__(self) -> None:
        require_at_least("model.upsampler.kernel_factor", self.kernel_factor, 1, MOST_KERNEL_FACTOR)


@dataclass(slots=True, kw_only=True)
class ModelConfig(Settings):
    """Embedding, encoder, latent, decoder. Level 0 is the tokens; stride i leads from level i to level i + 1."""

    strides: list[int] = field(default_factory=lambda: [4])  # by what each level is shorter than the one below
    channels: list[int] = field(default_factory=lambda: [256, 512])  # channels of each level
    residual_blocks: list[int] = field(default_factory=lambda: [0, 1])  # residual blocks of each level, in either half
    encoder_residual_blocks: list[int] | None = None  # the encoder's, where it has others; null: it has as many
    kernel_size: int = 3  # of the residual blocks
    expansion: float = 2.0  # inner channels of a residual block, in times its width
    normalization: Normalization = Normalization.rms  # what stands in front of each residual block
    upsampler: UpsamplerConfig = field(default_factory=UpsamplerConfig)  # how the decoder makes a sequence longer
    latent: LatentKind = LatentKind.sequence  # one latent per prod(strides) tokens, or one per text
    latent_size: int = 128  # numbers of a latent
    initialization: Initialization = Initialization.orthogonal  # the first weights; lattice: a fixed codeword a token
    latent_normalization: LatentNormalization = LatentNormalization.none  # how the latent is bounded
    latent_noise: float = 0.0  # standard deviation of noise on the latent, in training
    latent_dropout: float = 0.0  # share of the latent's numbers left out, in training
    variational: bool = False  # a variational autoencoder: the latent is drawn, in training
    kl_weight: float = 0.001  # weight of the KL divergence from N(0, 1), if variational
    free_bits: float = 0.5  # nats of KL divergence per number that cost nothing
    residual_dropout: float = 0.0  # dropout within residual blocks, in training
    tie_embeddings: bool = True  # one table for the ids that go in and those that come out
    output: OutputKind = OutputKind.dot  # logits as a dot product, or as a cosine times `logit_scale`
    logit_scale: float = 100.0  # what cosines are multiplied by
    output_bias: bool = False  # a bias for each id of the output
    max_length: int = 256  # tokens that are encoded together, a multiple of prod(strides)
    overflow: Overflow = Overflow.split  # of more tokens: split into segments, cut, or left out

    def __post_init__(self) -> None:
        require(
            len(self.strides) > 0 and all(s >= 1 for s in self.strides),
            "model.strides of one or more whole numbers of at least 1",
            list(self.strides),
        )
        require(len(self.strides) <= MOST_LEVELS, f"model.strides of at most {MOST_LEVELS} numbers", len(self.strides))
        for value in self.strides:
            require(value <= MOST_POSITIONS, f"model.strides of at most {MOST_POSITIONS}", value)
        bounds = {
            "channels": (1, MOST_CHANNELS),
            "residual_blocks": (0, MOST_RESIDUAL_BLOCKS),
            "encoder_residual_blocks": (0, MOST_RESIDUAL_BLOCKS),
        }
        for name, (least, most) in bounds.items():
            values = getattr(self, name)
            if values is None:
                continue
            require(
                len(values) == len(self.strides) + 1,
                f"model.{name} with one entry more than model.strides ({len(self.strides) + 1})",
                list(values),
            )
            require(all(value >= least for value in values), f"model.{name} of at least {least}", list(values))
            require(all(value <= most for value in values), f"model.{name} of at most {most}", list(values))
        require_at_least("model.kernel_size", self.kernel_size, 1, 1 << 16)
        require_above("model.expansion", self.expansion, 1024)
        require_at_least("model.latent_size", self.latent_size, 1, MOST_CHANNELS)
        for name in ("latent_noise", "kl_weight", "free_bits"):
            require_at_least(f"model.{name}", getattr(self, name), 0)
        for name in ("latent_dropout", "residual_dropout"):
            require_share(f"model.{name}", getattr(self, name))
        require_above("model.logit_scale", self.logit_scale)
        require(
            not self.fourier_features or self.channels[-1] % 2 == 0,
            "an even last number of model.channels with model.initialization=lattice",
            self.channels[-1],
        )
        stride = math.prod(self.strides)
        require(
            self.max_length >= stride and self.max_length % stride == 0,
            f"model.max_length as a multiple of the product of model.strides ({stride})",
            self.max_length,
        )
        require_at_least("model.max_length", self.max_length, 1, MOST_POSITIONS)
        self._check_size()

    @property
    def fourier_features(self) -> bool:
        """Whether the decoder reads Fourier features of the latent, in place of a projection."""
        return self.initialization is Initialization.lattice

    @property
    def latents_of_a_text(self) -> str:
        """What a text's latents are: "vector" (exactly one), "segments" (a vector for each) or "sequence" (blocks)."""
        if self.latent is LatentKind.vector:
            return "segments" if self.overflow is Overflow.split else "vector"
        return self.latent.name

    def require_codewords(self) -> None:
        """Raise a ValueError if there is no room for the codewords of the lattice initialization."""
        where = "with model.initialization=lattice"
        require(
            self.latent_normalization is not LatentNormalization.rms,
            f"model.latent_normalization none or tanh {where}",
            self.latent_normalization.name,
        )
        tokens = math.prod(self.strides) if self.latent is LatentKind.sequence else self.max_length
        require(self.latent_size >= tokens, f"model.latent_size of at least {tokens} {where}", self.latent_size)
        numbers, covered = self.latent_size // tokens, 1
        for i, width in enumerate(self.channels):
            least = covered * max(numbers, 2) + (numbers if i == 0 else 0)
            require(width >= least, f"model.channels[{i}] of at least {least} {where}", width)
            covered *= self.strides[i] if i < len(self.strides) else 1

    def numbers_at_once(self, positions: int) -> int:
        """Return about how many numbers the largest array has when so many positions are encoded and decoded together.

        At each level: the states, what its residual blocks widen them to, and the windows that convolutions see.
        """
        found, taps = [positions], self.upsampler.kernel_factor
        both = [
            self.residual_blocks,
            self.residual_blocks if self.encoder_residual_blocks is None else self.encoder_residual_blocks,
        ]
        resized = self.upsampler.kind in (UpsamplerKind.resize_nearest, UpsamplerKind.resize_linear)
        for i, width in enumerate(self.channels):
            if any(residual_blocks[i] for residual_blocks in both):
                found += [positions * self.kernel_size * width, positions * max(int(self.expansion * width), 1)]
            if i < len(self.strides):
                stride, high = self.strides[i], self.channels[i + 1]
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
        encoder = self.residual_blocks if self.encoder_residual_blocks is None else self.encoder_residual_blocks
        residual_blocks = sum(self.residual_blocks) + sum(encoder)
        require(
            residual_blocks <= MOST_RESIDUAL_BLOCKS,
            f"at most {MOST_RESIDUAL_BLOCKS} residual blocks in both halves of the model",
            residual_blocks,
        )
        for stride in self.strides:
            taps = stride * self.upsampler.kernel_factor
            require(taps <= MOST_TAPS, f"each of model.strides times kernel_factor to be at most {MOST_TAPS}", taps)
        windows = residual_blocks * self.kernel_size
        if self.upsampler.kind in (UpsamplerKind.resize_nearest, UpsamplerKind.resize_linear):
            windows += self.upsampler.kernel_factor * sum(self.strides)
        require(windows <= MOST_WINDOWS, f"at most {MOST_WINDOWS} taps in all convolutions without a stride", windows)
        numbers = self.numbers_at_once(self.max_length)
        require(
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
            require_share(f"corruption.{name}", value)
        total = sum(shares.values())
        require(total < 1, "corruption.drop + corruption.mask + corruption.substitute below 1", total)
        require_at_least("corruption.shuffle", self.shuffle, 0, MOST_POSITIONS)

    def require_alignment(self, model: ModelConfig) -> None:
        """Raise a ValueError if a model with a latent per block would have to find tokens in other blocks' latents."""
        if model.latent is LatentKind.sequence:
            where = "with model.latent=sequence, whose blocks stay where they are"
            require(not self.drop, f"corruption.drop=0 {where}", self.drop)
            stride = math.prod(model.strides)
            require(self.shuffle <= stride, f"corruption.shuffle of at most {stride} {where}", self.shuffle)


@dataclass(slots=True, kw_only=True)
class TrainingConfig(Settings):
    """How long, how fast, and what is kept."""

    seed: int = 0  # of weights, order and noise
    max_steps: int | None = 200  # updates after which training ends; null: no limit, here and in the next two
    max_epochs: float | None = None  # passes over the train split after which it ends
    max_minutes: float | None = None  # minutes after which it ends
    tokens_per_batch: int = 4096  # positions of a batch, padding included
    num_length_buckets: int = 32  # how many padded lengths there are at most
    optimizer: OptimizerKind = OptimizerKind.adamw  # how weights are updated
    learning_rate: float = 0.001  # the highest one
    schedule: Schedule = Schedule.cosine  # how the learning rate falls after the warm-up
    warmup_steps: int = 20  # updates over which the learning rate rises
    final_learning_rate: float = 0.02  # share of the learning rate that is left at the end
    weight_decay: float = 0.0  # what weights lose in an update, in learning rates
    beta_1: float = 0.9  # memory of the gradients' mean
    beta_2: float = 0.98  # memory of the gradients' squares
    max_gradient_norm: float | None = 1.0  # longest gradient; null: any
    gradient_accumulation_steps: int = 1  # batches of an update
    ema_decay: float = 0.0  # memory of averaged weights, which are the ones kept; 0: no averaging
    label_smoothing: float = 0.0  # share of each target that is spread over the vocabulary
    gradient_filter: float = 0.01  # share of the loss's gradient that may be left out, of what is right already
    length_curriculum: float = 0.0  # share of the first epoch during which texts grow longer
    freeze_encoder: bool | None = None  # whether only the decoder learns; null: with model.initialization=lattice
    train_frequencies: bool = True  # whether the frequencies of the Fourier features learn, with the lattice
    random_token_rate: float = 0.0  # share of tokens that become others, drawn evenly, in the text and its target
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)  # of what is encoded in training
    precision: Precision = Precision.auto  # type of the matrix products; auto: bfloat16 where it is faster
    compile: Compile = Compile.auto  # how a step is compiled; auto: what is faster
    log_every_steps: int = 20  # updates from one line and point in TensorBoard to the next
    eval_every_steps: int = 100  # updates from one validation to the next
    validation_documents: int | None = 500  # of the validation split; null: all
    overfit_documents: int | None = None  # train on so many documents only, and validate on them; null: no
    patience: int | None = None  # validations without a better one after which training ends; null: any
    checkpoint_every_minutes: float = 5.0  # minutes from one checkpoint to the next
    num_logged_samples: int = 8  # texts that are shown with their reconstructions
    resume: Resume = Resume.auto  # what happens when the folder holds a run: go on, or refuse
    on_nonfinite: OnNonfinite = OnNonfinite.stop  # what a loss or gradient that is not finite does

    def __post_init__(self) -> None:
        require(
            any(limit is not None for limit in (self.max_steps, self.max_epochs, self.max_minutes)),
            "one of training.max_steps, training.max_epochs, training.max_minutes",
            None,
        )
        require_at_least("training.max_steps", self.max_steps, 1)
        for name in ("max_epochs", "max_minutes"):
            require_above(f"training.{name}", getattr(self, name))
        require(0 <= self.seed < 2**31, "training.seed in [0, 2**31)", self.seed)
        require_at_least("training.tokens_per_batch", self.tokens_per_batch, 1, MOST_POSITIONS)
        for name in (
            "num_length_buckets",
            "gradient_accumulation_steps",
            "log_every_steps",
            "eval_every_steps",
            "validation_documents",
            "overfit_documents",
            "patience",
        ):
            require_at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("warmup_steps", "weight_decay", "num_logged_samples", "checkpoint_every_minutes"):
            require_at_least(f"training.{name}", getattr(self, name), 0)
        require_above("training.learning_rate", self.learning_rate, 3e38)
        require_share("training.final_learning_rate", self.final_learning_rate, below_one=False)
        for name in (
            "beta_1",
            "beta_2",
            "ema_decay",
            "label_smoothing",
            "gradient_filter",
            "length_curriculum",
            "random_token_rate",
        ):
            require_share(f"training.{name}", getattr(self, name))
        require_above("training.max_gradient_norm", self.max_gradient_norm, 3e38)


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
        require_objective("objective", self.objective)
        require_folder("data_dir", self.data_dir)
        require(
            self.training.tokens_per_batch >= self.model.max_length,
            f"training.tokens_per_batch of at least model.max_length ({self.model.max_length})",
            self.training.tokens_per_batch,
        )
        self.training.corruption.require_alignment(self.model)
        lattice = self.model.initialization is Initialization.lattice
        if self.encoder_frozen:
            tied = self.model.tie_embeddings
            require(not tied, "model.tie_embeddings=false with a frozen encoder (training.freeze_encoder)", tied)
        if not self.training.train_frequencies:
            require(
                lattice,
                "model.initialization=lattice with training.train_frequencies=false",
                self.model.initialization.name,
            )
        if lattice:
            require(
                self.training.precision is not Precision.bfloat16,
                "training.precision auto or float32 with model.initialization=lattice, whose codewords are finer",
                self.training.precision.name,
            )
            self.model.require_codewords()

    @property
    def encoder_frozen(self) -> bool:
        """Whether only the decoder learns: an update of all weights would move codewords past one another."""
        frozen = self.training.freeze_encoder
        return self.model.initialization is Initialization.lattice if frozen is None else frozen

    def located(self) -> Config:
        """Return the same with paths that mean the same from every folder."""
        return replace(self, corpus=self.corpus.located(), data_dir=absolute_path(self.data_dir))


CORPORA = {"pydocs": PydocsConfig, "text": TextConfig, "tfds": TfdsConfig}
