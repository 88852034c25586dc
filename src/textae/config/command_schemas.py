"""The schemas of the commands on a trained run."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from textae.config.checks import Settings, require, require_at_least, require_folder, require_objective, require_split
from textae.config.choices import ExportFormat
from textae.config.schema import CorpusConfig, CorruptionConfig


@dataclass(slots=True, kw_only=True)
class RunCorpusConfig(CorpusConfig):
    """The corpus that the run was trained on."""

    kind: str = "run"  # the kind of corpus; set by the group's option


@dataclass(slots=True, kw_only=True)
class EvaluateConfig(Settings):
    """The keys of `textae.evaluate`."""

    run: str = MISSING  # folder of a trained run
    corpus: CorpusConfig = MISSING  # the run's corpus, or another one
    split: str = "test"  # train, validation or test
    latent_noise: float = 0.0  # standard deviation of Gaussian noise on the latents
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)  # corruption of the encoder's input
    true_lengths: bool = False  # whether a text's vector is decoded at the text's own length, not the predicted one
    by_length: str | None = None  # CSV file of metrics by document length; null: not written
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_split(self.split)
        require_folder("data_dir", self.data_dir)
        require_at_least("latent_noise", self.latent_noise, 0)


@dataclass(slots=True, kw_only=True)
class ReconstructConfig(Settings):
    """The keys of `textae.reconstruct`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # input file; null: standard input
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class EncodeConfig(Settings):
    """The keys of `textae.encode`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # input file; null: standard input
    output: str = MISSING  # output file: .npy, .npz or .parquet


@dataclass(slots=True, kw_only=True)
class DecodeConfig(Settings):
    """The keys of `textae.decode`."""

    run: str = MISSING  # folder of a trained run
    input: str = MISSING  # file of latents, written by textae.encode
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class ScoreConfig(Settings):
    """The keys of `textae.score`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # input file; null: standard input
    output: str | None = None  # output file; null: standard output
    sort: bool = False  # whether the highest scores come first


@dataclass(slots=True, kw_only=True)
class InterpolateConfig(Settings):
    """The keys of `textae.interpolate`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # file of two lines; null: standard input
    output: str | None = None  # output file; null: standard output
    steps: int = 7  # number of texts, with both ends

    def __post_init__(self) -> None:
        require_at_least("steps", self.steps, 2)


@dataclass(slots=True, kw_only=True)
class ArithmeticConfig(Settings):
    """The keys of `textae.arithmetic`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # file of three lines; null: standard input
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class NeighboursConfig(Settings):
    """The keys of `textae.neighbours`."""

    run: str = MISSING  # folder of a trained run
    input: str | None = None  # file of texts; null: standard input
    output: str | None = None  # output file; null: standard output
    documents: str | None = None  # file of documents, one per line; null: those of the corpus
    corpus: CorpusConfig = MISSING  # the run's corpus, or another one
    split: str = "train"  # train, validation or test
    count: int = 10  # neighbours of each text
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_split(self.split)
        require_folder("data_dir", self.data_dir)
        require_at_least("count", self.count, 1)
        both = self.documents is not None and self.corpus.kind != "run"
        require(not both, "documents=FILE or corpus=..., and not both of them", self.documents)
        shared = self.documents == "-" and self.input in (None, "-")
        require(not shared, "input=FILE with documents=-, which takes all of standard input", self.input)


@dataclass(slots=True, kw_only=True)
class SampleConfig(Settings):
    """The keys of `textae.sample`."""

    run: str = MISSING  # folder of a trained run
    output: str | None = None  # output file; null: standard output
    count: int = 10  # number of texts
    seed: int = 0  # seed of the latents
    positions: int = 8  # latents of a text, for models with a sequence of latents

    def __post_init__(self) -> None:
        require_at_least("count", self.count, 0)
        require_at_least("seed", self.seed, 0)
        require_at_least("positions", self.positions, 1)


@dataclass(slots=True, kw_only=True)
class ExportConfig(Settings):
    """The keys of `textae.export`."""

    run: str = MISSING  # folder of a trained run
    output: str = MISSING  # folder to write; it must not exist
    format: ExportFormat = ExportFormat.saved_model  # SavedModel or ONNX


@dataclass(slots=True, kw_only=True)
class ProbeConfig(Settings):
    """The keys of `textae.probe`."""

    run: str = MISSING  # folder of a trained run
    corpus: CorpusConfig = MISSING  # a corpus with labels
    labels: int | None = None  # number of labelled train documents that are used; null: all
    seed: int = 0  # seed of their choice
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_folder("data_dir", self.data_dir)
        require_at_least("labels", self.labels, 2)
        require_at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig(Settings):
    """The keys of `textae.report`."""

    runs: str = MISSING  # folder with runs, or a glob of folders
    sort: str = "loss"  # metric that orders the table
    csv: str | None = None  # CSV file to write, with every column; null: none
    plot: str | None = None  # image file to write; null: none

    def __post_init__(self) -> None:
        require_objective("sort", self.sort)


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
