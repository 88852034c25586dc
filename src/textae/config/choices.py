"""The settings that are one of several names."""

from __future__ import annotations

from enum import Enum

SPLITS = ("train", "validation", "test")  # of every corpus


class TokenizerKind(Enum):
    """How text becomes ids."""

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


class LatentKind(Enum):
    """One latent per prod(strides) tokens, or one per text."""

    sequence = "sequence"
    vector = "vector"


class Overflow(Enum):
    """What happens to a document of more than `max_length` tokens."""

    split = "split"
    truncate = "truncate"
    drop = "drop"


class Normalization(Enum):
    """What stands in front of each residual block."""

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


class Initialization(Enum):
    """The weights that training begins with.

    random: drawn independently. orthogonal: orthonormal kernels in the encoder, their transposes in the decoder.
    lattice: the encoder writes each token's codeword, a point of a lattice; the decoder reads Fourier features of it.
    """

    random = "random"
    orthogonal = "orthogonal"
    lattice = "lattice"


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


class ExportFormat(Enum):
    """The formats that a run can be exported to."""

    saved_model = "saved_model"
    onnx = "onnx"
