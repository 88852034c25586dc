"""The settings that are one of several names."""

from __future__ import annotations

from enum import Enum

SPLITS: tuple[str, ...] = ("train", "validation", "test")  # of every corpus


class TokenizerKind(Enum):
    """The algorithms that split text into tokens."""

    unigram = "unigram"
    bpe = "bpe"
    bytes = "bytes"
    characters = "characters"
    words = "words"


# The fewest and the most ids of each kind: two special ones, those of bytes or of an unknown token, and one of text.
VOCABULARY_BOUNDS = {
    "unigram": (259, 1 << 24),
    "bpe": (259, 1 << 24),
    "bytes": (258, 258),
    "characters": (258, 1 << 24),
    "words": (4, 1 << 24),
}


class NumberNormalization(Enum):
    """What becomes of numbers: they stay, their digits become 0, or those of hexadecimal numbers as well."""

    none = "none"
    digits = "digits"
    hexadecimals = "hexadecimals"


class LatentKind(Enum):
    """A sequence of latents, one per prod(strides) tokens, or one vector per text."""

    sequence = "sequence"
    vector = "vector"


class Overflow(Enum):
    """What happens to a document of more than `max_length` tokens: it is split into segments, truncated or dropped."""

    split = "split"
    truncate = "truncate"
    drop = "drop"


class Normalization(Enum):
    """Pre-normalisation of residual blocks: root mean square, layer normalisation or none."""

    rms = "rms"
    layer = "layer"
    none = "none"


class Pooling(Enum):
    """How a text's states become its vector: a product with the states of all positions, or their mean."""

    positions = "positions"
    mean = "mean"


class ProbeTask(Enum):
    """What a probe reads from vectors: a text's label, or whether a sentence is of a paragraph."""

    classification = "classification"
    containment = "containment"


class LatentNormalization(Enum):
    """How the latent is bounded: not at all, to a root mean square of 1, or by tanh."""

    none = "none"
    rms = "rms"
    tanh = "tanh"


class OutputKind(Enum):
    """Logits are dot products of states and embeddings, or cosines times `logit_scale`."""

    dot = "dot"
    cosine = "cosine"


class Initialization(Enum):
    """Initial weights.

    random: drawn independently. orthogonal: orthonormal kernels in the encoder, their transposes in the decoder.
    codebook: as orthogonal, with codewords of the tokens that are first learnt for the latents' noise.
    lattice: the encoder writes each token's codeword, a point of a lattice; the decoder reads Fourier features of it.
    cooccurrence: a text's vector is the mean of vectors of its tokens, which tokens near each other have alike.
    """

    random = "random"
    orthogonal = "orthogonal"
    codebook = "codebook"
    cooccurrence = "cooccurrence"
    lattice = "lattice"


class UpsamplerKind(Enum):
    """The decoder's upsampling methods."""

    transpose = "transpose"
    resize_nearest = "resize_nearest"
    resize_linear = "resize_linear"
    subpixel = "subpixel"


class OptimizerKind(Enum):
    """The optimizers."""

    adamw = "adamw"
    muon = "muon"


class Schedule(Enum):
    """The decay of the learning rate after the warm-up."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


class KlSchedule(Enum):
    """How the weight of the KL divergence is reached: at once, by one rise, or by a rise in each cycle."""

    constant = "constant"
    linear = "linear"
    cyclic = "cyclic"


class Precision(Enum):
    """The type of matrix products; auto: bfloat16 where the hardware is faster with it."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Compile(Enum):
    """The compilation of a step; auto: the faster one on this hardware."""

    auto = "auto"
    graph = "graph"
    xla = "xla"


class Distributed(Enum):
    """The devices that train together."""

    none = "none"
    auto = "auto"


class FileFormat(Enum):
    """File formats of a corpus; auto: detected from each file's name and content."""

    auto = "auto"
    lines = "lines"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    json = "json"
    parquet = "parquet"


class DocumentUnit(Enum):
    """What one document is: a record (line, row or object) or a whole file."""

    record = "record"
    file = "file"


class OnBadRecord(Enum):
    """What an unreadable record does: stop the run, or be skipped."""

    stop = "stop"
    skip = "skip"


class Resume(Enum):
    """Whether a run folder that holds a run is continued (auto) or refused (never)."""

    auto = "auto"
    never = "never"


class LoggerKind(Enum):
    """Where the values of a run are recorded: TensorBoard's events, MLflow, Weights & Biases."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"


class OnNonfinite(Enum):
    """What a loss or gradient that is not finite does: stop the run, or skip the update."""

    stop = "stop"
    skip = "skip"


class CurveKind(Enum):
    """What is done to latents, more and more of it: noise is added, or they are stored in fewer bits."""

    noise = "noise"
    bits = "bits"


class ExportFormat(Enum):
    """The formats of an exported run."""

    saved_model = "saved_model"
    onnx = "onnx"


class VocabularyLossKind(Enum):
    """The softmax of training: over the whole vocabulary, or over the batch's ids and a sample of the others.

    auto is full: no measurement has shown yet from which size on a sample trains better in the same time.
    """

    auto = "auto"
    full = "full"
    sampled = "sampled"


class SamplingDistribution(Enum):
    """How the ids of a sampled loss are drawn: evenly, or by their frequencies to the power of .75."""

    uniform = "uniform"
    unigram = "unigram"
