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
    MOST_PROCESSES,
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
    Distributed,
    DocumentUnit,
    FileFormat,
    Initialization,
    KlSchedule,
    LatentKind,
    LatentNormalization,
    LoggerKind,
    Normalization,
    NumberNormalization,
    OnBadRecord,
    OnNonfinite,
    OptimizerKind,
    OutputKind,
    Overflow,
    Pooling,
    Precision,
    Resume,
    SamplingDistribution,
    Schedule,
    TokenizerKind,
    UpsamplerKind,
    VocabularyLossKind,
)
from textae.config.metric_table import names
from textae.config.run_names import located_run

PATHS = ("files", "test_files", "validation_files", "tfds_dir")  # settings of a corpus that say where it lies
HIGH_RATE, LOW_RATE = 0.001, 0.0003  # learning rates
RANDOM_LENGTH_RATE = 0.1  # of one vector per text, whose length head knows only the lengths that it has seen


@dataclass(slots=True, kw_only=True)
class CorpusConfig(Settings):
    """The keys of every corpus."""

    kind: str = MISSING  # the kind of corpus; set by the group's option
    validation_share: float = 0.02  # fraction of the documents in the validation split, chosen by content
    test_share: float = 0.02  # fraction of the documents in the test split, chosen by content
    workers: int | None = None  # processes that prepare large files; null: as many as cores
    # options of an Apache Beam pipeline that prepares large files, such as [--runner=DirectRunner]; null: no Beam
    beam: list[str] | None = None

    def __post_init__(self) -> None:
        own = type(self).__dataclass_fields__["kind"].default
        require(own in (MISSING, self.kind), f"corpus.kind={own}, as corpus={own} sets it", self.kind)
        for split in ("validation", "test"):
            require_share(f"corpus.{split}_share", getattr(self, f"{split}_share"))
        fractions = self.split_fractions()
        for split, share in fractions.items():
            require(share > 0, f"corpus.{split}_share above 0", share)
        taken = sum(fractions.values())
        require(taken < 1, "corpus.validation_share + corpus.test_share below 1", taken)
        require_at_least("corpus.workers", self.workers, 1)
        for option in self.beam or []:
            require(isinstance(option, str) and option.startswith("--"), "corpus.beam as options --NAME=VALUE", option)
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

    kind: str = "pydocs"  # the kind of corpus; set by the group's option
    packages: bool = True  # whether docstrings of installed packages are read too, beside those of the standard library


@dataclass(slots=True, kw_only=True)
class TextConfig(CorpusConfig):
    """The user's own files."""

    kind: str = "text"  # the kind of corpus; set by the group's option
    # paths, folders and globs of txt, csv, tsv, jsonl, json or parquet files, plain or compressed
    files: list[str] = MISSING
    test_files: list[str] = field(default_factory=list)  # files of the test split; [] takes test_share of `files`
    # files of the validation split; [] takes validation_share of `files`
    validation_files: list[str] = field(default_factory=list)
    field: str | None = None  # column or key that holds the text; dots lead into nested objects; null for plain lines
    label: str | None = None  # column or key that is kept as the document's label
    max_characters: int | None = None  # longer documents are truncated to this many characters; null: no limit
    format: FileFormat = FileFormat.auto  # file format; auto: detected from each file's name and content
    encoding: str = "auto"  # text encoding, by Python's name; auto: UTF-8, or detected from each file's bytes
    delimiter: str | None = None  # character between columns, or tab; null: detected
    document: DocumentUnit = DocumentUnit.record  # what one document is: a record (line, row or object) or a whole file
    on_bad_record: OnBadRecord = OnBadRecord.stop  # what an unreadable record does: stop the run, or be skipped

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
    """A data set of TensorFlow Datasets, by name."""

    kind: str = "tfds"  # the kind of corpus; set by the group's option
    name: str = MISSING  # name of the data set, as in ag_news_subset
    config: str | None = None  # configuration of the data set, where it has several
    field: str | None = None  # feature that holds the text; needed where several features are text
    label: str | None = None  # feature that is kept as the document's label
    # which splits of the data set are train, validation and test; null: those of the same name
    splits: dict[str, str] | None = None
    tfds_dir: str | None = None  # folder of prepared data sets; null: $TFDS_DATA_DIR, or ~/tensorflow_datasets
    max_characters: int | None = None  # longer documents are truncated to this many characters; null: no limit


@dataclass(slots=True, kw_only=True)
class TokenizerConfig(Settings):
    """Text to token ids."""

    kind: TokenizerKind = TokenizerKind.unigram  # the tokenizer's algorithm
    # exact number of ids; null: target_vocabulary_size, or the nearest size that the texts allow
    vocabulary_size: int | None = None
    # number of ids to aim at; null: 8192 for unigram and bpe, 25002 for words, all characters
    target_vocabulary_size: int | None = None
    # numbers that become zeros before the text is split: none, decimal digits, or those of hexadecimal numbers as well;
    # a reconstruction has the zeros
    number_normalization: NumberNormalization = NumberNormalization.none
    sample_megabytes: float = 5.0  # millions of characters that unigram and bpe are trained on, sampled evenly

    def __post_init__(self) -> None:
        require_at_least("tokenizer.target_vocabulary_size", self.target_vocabulary_size, 4, 1 << 24)
        if self.vocabulary_size is not None:
            require_vocabulary_size(self.kind.name, self.vocabulary_size)
        require_at_least("tokenizer.sample_megabytes", self.sample_megabytes, SMALLEST_SAMPLE)


@dataclass(slots=True, kw_only=True)
class UpsamplerConfig(Settings):
    """The upsampling of the decoder; `kernel_factor` times the stride is the kernel size in both halves."""

    kind: UpsamplerKind = UpsamplerKind.transpose  # upsampling method of the decoder
    kernel_factor: int = 1  # kernel size of the strided convolutions, as a multiple of the stride

    def __post_init__(self) -> None:
        require_at_least("model.upsampler.kernel_factor", self.kernel_factor, 1, MOST_KERNEL_FACTOR)


@dataclass(slots=True, kw_only=True)
class ModelConfig(Settings):
    """Embedding, encoder, latent, decoder. Level 0 is the tokens; stride i leads from level i to level i + 1."""

    # downsampling factor from each level to the next, in the encoder; the decoder mirrors it
    strides: list[int] = field(default_factory=lambda: [4])
    # channels of each level: one entry more than strides
    channels: list[int] = field(default_factory=lambda: [256, 512])
    # residual blocks of each level, in encoder and decoder: one entry more than strides
    residual_blocks: list[int] = field(default_factory=lambda: [0, 1])
    # residual blocks of each level of the encoder; null: as in residual_blocks
    encoder_residual_blocks: list[int] | None = None
    kernel_size: int = 3  # kernel size of the convolutions in residual blocks
    expansion: float = 2.0  # hidden channels of a residual block, as a multiple of its channels
    normalization: Normalization = Normalization.rms  # pre-normalisation of residual blocks
    upsampler: UpsamplerConfig = field(default_factory=UpsamplerConfig)  # the decoder's upsampling
    # sequence: one latent per prod(strides) tokens; vector: one latent per text
    latent: LatentKind = LatentKind.sequence
    # how a text's states become one vector, with latent=vector: a product with all positions, or their mean
    pooling: Pooling = Pooling.positions
    bag_of_words: bool = False  # whether a head predicts a text's tokens, as a bag, from its vector
    latent_size: int = 128  # dimensions of a latent
    # initial weights; codebook: codewords of tokens learnt for the noise; lattice: fixed codes, one lattice point per
    # token; cooccurrence: token vectors by what is near
    initialization: Initialization = Initialization.orthogonal
    latent_normalization: LatentNormalization = LatentNormalization.none  # how the latent is bounded
    latent_noise: float = 0.0  # standard deviation of Gaussian noise on the latent, in training
    latent_dropout: float = 0.0  # dropout rate of the latent's dimensions, in training
    variational: bool = False  # whether the model is a variational autoencoder
    kl_weight: float = 0.02  # weight of the KL divergence from N(0, 1), if variational
    kl_schedule: KlSchedule = KlSchedule.constant  # how kl_weight is reached, if variational
    kl_warmup: float = 0.5  # fraction of the training, or of each cycle, during which the KL weight rises
    kl_cycles: int = 4  # cycles of the KL weight, with kl_schedule=cyclic
    # bits per token that the KL divergence is held at by adapting its weight, if variational; null: kl_weight stays
    target_rate: float | None = None
    free_bits: float = 0.0  # free nats per latent dimension, if variational
    residual_dropout: float = 0.0  # dropout rate in residual blocks
    tie_embeddings: bool = True  # whether the output layer shares the weights of the input embedding
    output: OutputKind = OutputKind.dot  # logits are dot products, or cosines times logit_scale
    logit_scale: float = 100.0  # scale of the cosines, with output=cosine
    output_bias: bool = False  # whether the output layer has a bias for each token, which begins as its log frequency
    max_length: int = 256  # tokens that are encoded together; a multiple of prod(strides)
    overflow: Overflow = Overflow.split  # longer documents are split into segments, truncated or dropped

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
        self._check_kl()
        require_above("model.logit_scale", self.logit_scale)
        require(
            not self.fourier_features or self.channels[-1] % 2 == 0,
            "an even last number of model.channels with model.initialization=lattice",
            self.channels[-1],
        )
        self._check_initialization()
        if self.latent is not LatentKind.vector:
            pooled = self.pooling is not Pooling.positions
            require(not pooled, "model.pooling=positions with model.latent=sequence", self.pooling.name)
            require(not self.bag_of_words, "model.bag_of_words=false with model.latent=sequence", self.bag_of_words)
        stride = math.prod(self.strides)
        require(
            self.max_length >= stride and self.max_length % stride == 0,
            f"model.max_length as a multiple of the product of model.strides ({stride})",
            self.max_length,
        )
        require_at_least("model.max_length", self.max_length, 1, MOST_POSITIONS)
        self._check_size()

    def _check_initialization(self) -> None:
        """Raise a ValueError if the initialization does not fit the model."""
        if self.initialization is Initialization.cooccurrence:
            where = "with model.initialization=cooccurrence"
            require(self.pooling is Pooling.mean, f"model.pooling=mean {where}", self.pooling.name)
            require(not self.tie_embeddings, f"model.tie_embeddings=false {where}", self.tie_embeddings)
        if self.initialization is Initialization.codebook:
            where = "with model.initialization=codebook"
            require(self.latent is LatentKind.sequence, f"model.latent=sequence {where}", self.latent.name)
            noisy = self.variational or self.latent_noise > 0
            require(noisy, f"model.variational=true or model.latent_noise above 0 {where}", self.latent_noise)
            room = f"model.latent_size of at most the first of model.channels ({self.channels[0]}) {where}"
            require(self.latent_size <= self.channels[0], room, self.latent_size)

    def _check_kl(self) -> None:
        """Raise a ValueError if the settings of the KL divergence exclude each other."""
        require_share("model.kl_warmup", self.kl_warmup, below_one=False)
        require_at_least("model.kl_cycles", self.kl_cycles, 1)
        require_above("model.target_rate", self.target_rate)
        if self.target_rate is not None:
            where = "with model.target_rate"
            require(self.kl_weight > 0, f"model.kl_weight above 0 {where}", self.kl_weight)
            constant = self.kl_schedule is KlSchedule.constant
            require(constant, f"model.kl_schedule=constant {where}", self.kl_schedule.name)

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
        require(
            self.pooling is Pooling.positions,
            f"model.pooling=positions {where}, which gives each position dimensions of its own",
            self.pooling.name,
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
    """Corruption of the tokens that are encoded."""

    drop: float = 0.0  # fraction of the tokens that are deleted
    mask: float = 0.0  # fraction of the tokens that are masked
    mask_span: int = 1  # consecutive tokens that are masked together
    substitute: float = 0.0  # fraction of the tokens that are replaced by random ones
    shuffle: int = 0  # greatest distance in tokens that a token is moved by

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("drop", "mask", "substitute")}
        for name, value in shares.items():
            require_share(f"corruption.{name}", value)
        total = sum(shares.values())
        require(total < 1, "corruption.drop + corruption.mask + corruption.substitute below 1", total)
        require_at_least("corruption.mask_span", self.mask_span, 1, MOST_POSITIONS)
        require_at_least("corruption.shuffle", self.shuffle, 0, MOST_POSITIONS)

    @property
    def changes_texts(self) -> bool:
        """Whether any token is encoded as another one, or elsewhere."""
        return any((self.drop, self.mask, self.substitute, self.shuffle))

    def require_alignment(self, model: ModelConfig) -> None:
        """Raise a ValueError if corruption moves tokens to other latents than their targets'."""
        if model.latent is LatentKind.sequence:
            where = "with model.latent=sequence, where each token belongs to one latent"
            require(not self.drop, f"corruption.drop=0 {where}", self.drop)
            stride = math.prod(model.strides)
            require(self.shuffle <= stride, f"corruption.shuffle of at most {stride} {where}", self.shuffle)


@dataclass(slots=True, kw_only=True)
class TrainingConfig(Settings):
    """How the model is trained."""

    seed: int = 0  # seed of the weights, the order of the documents and the noise
    max_steps: int | None = 200  # training ends after this many updates; null: no limit
    max_epochs: float | None = None  # training ends after this many passes over the train split; null: no limit
    max_minutes: float | None = None  # training ends after this many minutes; null: no limit
    tokens_per_batch: int = 4096  # positions of a batch, padding included
    num_length_buckets: int = 32  # largest number of padded lengths
    optimizer: OptimizerKind = OptimizerKind.adamw  # the optimizer
    # peak learning rate; null: 0.0003 where a sequence model begins with codewords (initialization=orthogonal or
    # codebook), which a higher rate would destroy, else 0.001
    learning_rate: float | None = None
    schedule: Schedule = Schedule.cosine  # decay of the learning rate after the warm-up
    warmup_steps: int = 20  # updates of linear learning rate warm-up
    final_learning_rate: float = 0.02  # learning rate at the end, as a fraction of learning_rate
    weight_decay: float = 0.0  # decoupled weight decay
    beta_1: float = 0.9  # decay of the optimizer's first moment
    beta_2: float = 0.98  # decay of the optimizer's second moment
    max_gradient_norm: float | None = 1.0  # maximum gradient norm; null: no clipping
    gradient_accumulation_steps: int = 1  # batches per update
    # decay of the weights' exponential moving average; the averaged weights are the ones kept; 0: no averaging
    ema_decay: float = 0.0
    label_smoothing: float = 0.0  # fraction of each target that is spread over the vocabulary
    # softmax of training, over all ids or over the batch's and a sample of the others; auto: sampled from 16,384 ids
    # on, with one device and without label smoothing, else full
    vocabulary_loss: VocabularyLossKind = VocabularyLossKind.auto
    sampled_ids: int = 1024  # ids drawn for a batch, beside its own, in a sampled loss
    sampling_distribution: SamplingDistribution = SamplingDistribution.uniform  # how they are drawn
    length_curriculum: float = 0.0  # fraction of the first epoch during which batches go from short texts to long ones
    # trained run whose tokenizer and weights this run begins with: a folder, a pretrained model or hf://USER/NAME;
    # null: new ones
    initial_run: str | None = None
    # fraction of the batches whose texts are cut from the train split at lengths drawn evenly up to max_length, so that
    # one vector per text learns every length; null: 0.1 with latent=vector, else 0
    random_length_rate: float | None = None
    # whether only the decoder is trained, without what it shares with the encoder (tie_embeddings); null: with
    # initialization=lattice
    freeze_encoder: bool | None = None
    train_frequencies: bool = True  # whether the Fourier features' frequencies are trained, with initialization=lattice
    # fraction of tokens replaced by random ones of all ids, bytes among them, in the input and the target
    random_token_rate: float = 0.0
    # share of a batch's texts that are decoded in training; fewer leave time for the other losses
    reconstruction_share: float = 1.0
    bag_of_words_weight: float = 1.0  # weight of the bag-of-words loss, with model.bag_of_words
    contrastive_weight: float = 0.0  # weight of the contrastive loss of two corruptions of a text; 0: none
    contrastive_temperature: float = 0.05  # what cosines are divided by in the contrastive loss
    # corruption of the encoder's input, for denoising
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    # type of matrix products; auto: bfloat16 where the hardware is faster with it
    precision: Precision = Precision.auto
    compile: Compile = Compile.auto  # compilation of a step; auto: the faster one on this hardware
    log_every_steps: int = 20  # updates between log lines and TensorBoard points
    eval_every_steps: int = 100  # updates between validations
    validation_documents: int | None = 500  # validate on the first documents of the validation split; null: all
    # train and validate on the first N documents of the train split only; null: off
    overfit_documents: int | None = None
    patience: int | None = None  # stop after this many validations without a better loss; null: never
    keep_checkpoint: bool = True  # whether a finished run keeps its checkpoint, so that it can be made longer
    checkpoint_every_minutes: float = 5.0  # minutes between checkpoints
    # where the run is recorded: tensorboard, mlflow, wandb, or several of them; []: nowhere but in the run folder
    loggers: list[LoggerKind] = field(default_factory=lambda: [LoggerKind.tensorboard])
    num_logged_samples: int = 8  # texts that are logged with their reconstructions
    resume: Resume = Resume.auto  # a run folder that holds a run: auto continues it, never refuses it
    # a loss or gradient that is not finite: stop the run, or skip the update
    on_nonfinite: OnNonfinite = OnNonfinite.stop

    def __post_init__(self) -> None:
        require(
            any(limit is not None for limit in (self.max_steps, self.max_epochs, self.max_minutes)),
            "one of training.max_steps, training.max_epochs, training.max_minutes",
            None,
        )
        require_at_least("training.max_steps", self.max_steps, 1)
        for name in ("max_epochs", "max_minutes"):
            require_above(f"training.{name}", getattr(self, name))
        kinds = [kind.name for kind in self.loggers]
        require(len(set(kinds)) == len(kinds), "each of training.loggers once", kinds)
        require(0 <= self.seed < 2**31, "training.seed in [0, 2**31)", self.seed)
        require_at_least("training.tokens_per_batch", self.tokens_per_batch, 1, MOST_POSITIONS)
        for name in (
            "num_length_buckets",
            "sampled_ids",
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
        require(
            not self.label_smoothing or self.vocabulary_loss is not VocabularyLossKind.sampled,
            "training.label_smoothing=0 with training.vocabulary_loss=sampled",
            self.label_smoothing,
        )
        require_above("training.learning_rate", self.learning_rate, 3e38)
        require_share("training.final_learning_rate", self.final_learning_rate, below_one=False)
        for name in (
            "beta_1",
            "beta_2",
            "ema_decay",
            "label_smoothing",
            "length_curriculum",
            "random_token_rate",
        ):
            require_share(f"training.{name}", getattr(self, name))
        if self.random_length_rate is not None:
            require_share("training.random_length_rate", self.random_length_rate)
        require_share("training.reconstruction_share", self.reconstruction_share, below_one=False)
        require_above("training.reconstruction_share", self.reconstruction_share)
        for name in ("bag_of_words_weight", "contrastive_weight"):
            require_at_least(f"training.{name}", getattr(self, name), 0)
        require_above("training.contrastive_temperature", self.contrastive_temperature)
        require_above("training.max_gradient_norm", self.max_gradient_norm, 3e38)


@dataclass(slots=True, kw_only=True)
class DistributedConfig(Settings):
    """Devices and processes that train together; they may change when a run is continued."""

    mode: Distributed = Distributed.none  # the devices that train: none: one; auto: all there are
    # HOST:PORT of process 0, where several processes train together; null: as SLURM, Open MPI or Kubernetes say
    coordinator: str | None = None
    process_id: int | None = None  # number of this process, from 0
    num_processes: int | None = None  # number of processes, each started with the same command
    join_timeout_seconds: float = 300.0  # seconds in which all processes have to have started
    heartbeat_timeout_seconds: float = 30.0  # seconds without a sign of life after which a process is taken for dead

    def __post_init__(self) -> None:
        self._check_times()
        place = (self.coordinator, self.process_id, self.num_processes)
        given = [value is not None for value in place]
        require(
            all(given) or not any(given),
            "distributed.coordinator, distributed.process_id and distributed.num_processes together, or none of them",
            list(place),
        )
        if self.coordinator is None or self.process_id is None or self.num_processes is None:
            return
        together = self.mode is Distributed.auto
        require(together, "distributed=auto with distributed.coordinator", f"distributed={self.mode.name}")
        host, _, port = self.coordinator.rpartition(":")
        is_address = bool(host.strip()) and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16
        require(is_address, "distributed.coordinator as HOST:PORT", self.coordinator)
        require_at_least("distributed.num_processes", self.num_processes, 1, MOST_PROCESSES)
        require(
            0 <= self.process_id < self.num_processes,
            f"distributed.process_id from 0 to {self.num_processes - 1}, distributed.num_processes being "
            f"{self.num_processes}",
            self.process_id,
        )

    def _check_times(self) -> None:
        require_above("distributed.join_timeout_seconds", self.join_timeout_seconds)
        require_at_least("distributed.heartbeat_timeout_seconds", self.heartbeat_timeout_seconds, 1)


@dataclass(slots=True, kw_only=True)
class Config(Settings):
    """A whole run."""

    corpus: CorpusConfig = MISSING  # the texts
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)  # text to token ids
    model: ModelConfig = field(default_factory=ModelConfig)  # the autoencoder
    training: TrainingConfig = field(default_factory=TrainingConfig)  # how it is trained
    distributed: DistributedConfig = field(default_factory=DistributedConfig)  # the devices that train together
    name: str = "default"  # the run's folder is outputs/NAME/DATE_TIME
    data_dir: str = "data"  # folder of prepared corpora, tokenizers and token stores
    objective: str = "loss"  # metric that sorts a sweep's runs and guides a search

    def __post_init__(self) -> None:
        require_objective("objective", self.objective)
        require_folder("data_dir", self.data_dir)
        require(
            self.training.tokens_per_batch >= self.model.max_length,
            f"training.tokens_per_batch of at least model.max_length ({self.model.max_length})",
            self.training.tokens_per_batch,
        )
        self.training.corruption.require_alignment(self.model)
        self._check_objective()
        self._require_two_views()
        lattice = self.model.initialization is Initialization.lattice
        if self.encoder_frozen and lattice:
            tied = self.model.tie_embeddings
            require(not tied, "model.tie_embeddings=false with model.initialization=lattice and a frozen encoder", tied)
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

    def _check_objective(self) -> None:
        """Raise a ValueError for an objective that a run of this model does not have."""
        model = self.model
        lacking = {
            "variational": ("model.variational=false", not model.variational),
            "noisy": (
                "model.latent_noise=0 and model.variational=false",
                not (model.latent_noise or model.variational),
            ),
            "bag_of_words": ("model.bag_of_words=false", not model.bag_of_words),
        }
        for kind, (setting, lacks) in lacking.items():
            lacks = lacks and self.objective in names(runs=kind)
            require(not lacks, f"objective as a metric that a run with {setting} has", self.objective)

    def _require_two_views(self) -> None:
        """Raise a ValueError if the contrastive loss has no two different vectors of a text to compare."""
        if not self.training.contrastive_weight:
            return
        where = "with training.contrastive_weight"
        vector = self.model.latent is LatentKind.vector
        require(vector, f"model.latent=vector {where}", self.model.latent.name)
        require(self.training.corruption.changes_texts, f"training.corruption, as drop=0.5, {where}", "none")

    @property
    def encoder_frozen(self) -> bool:
        """Whether only the decoder learns: an update of all weights would move codewords past one another."""
        frozen = self.training.freeze_encoder
        return self.model.initialization is Initialization.lattice if frozen is None else frozen

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        codewords = self.model.initialization in (Initialization.orthogonal, Initialization.codebook)
        return LOW_RATE if codewords and self.model.latent is LatentKind.sequence else HIGH_RATE

    @property
    def random_length_rate(self) -> float:
        """Fraction of the train batches that have texts of random lengths."""
        if self.training.random_length_rate is not None:
            return self.training.random_length_rate
        return RANDOM_LENGTH_RATE if self.model.latent is LatentKind.vector else 0.0

    def located(self) -> Config:
        """Return the same with paths that mean the same from every folder."""
        initial = self.training.initial_run
        training = self.training if initial is None else replace(self.training, initial_run=located_run(initial))
        return replace(self, corpus=self.corpus.located(), data_dir=absolute_path(self.data_dir), training=training)


CORPORA = {"pydocs": PydocsConfig, "text": TextConfig, "tfds": TfdsConfig}
