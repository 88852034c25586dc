"""The schemas of the commands on a trained run."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from textae.config.checks import Settings, require, require_at_least, require_folder, require_objective, require_split
from textae.config.choices import ExportFormat
from textae.config.schema import CorpusConfig, CorruptionConfig


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
        require_split(self.split)
        require_folder("data_dir", self.data_dir)
        require_at_least("latent_noise", self.latent_noise, 0)


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
        require_at_least("steps", self.steps, 2)


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
        require_split(self.split)
        require_folder("data_dir", self.data_dir)
        require_at_least("count", self.count, 1)
        both = self.documents is not None and self.corpus.kind != "run"
        require(not both, "documents=FILE or corpus=..., and not both of them", self.documents)
        shared = self.documents == "-" and self.input in (None, "-")
        require(not shared, "input=FILE with documents=-, which takes all of standard input", self.input)


@dataclass(slots=True, kw_only=True)
class SampleConfig(Settings):
    """What `textae.sample` takes."""

    run: str = MISSING  # the run's folder
    output: str | None = None  # a file; null: standard output
    count: int = 10  # how many texts
    seed: int = 0  # of the draws
    blocks: int = 8  # latents of a text, where a model has several for one

    def __post_init__(self) -> None:
        require_at_least("count", self.count, 0)
        require_at_least("seed", self.seed, 0)
        require_at_least("blocks", self.blocks, 1)


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
        require_folder("data_dir", self.data_dir)
        require_at_least("labels", self.labels, 2)
        require_at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig(Settings):
    """What `textae.report` takes."""

    runs: str = MISSING  # a folder, or a glob of folders, with runs
    sort: str = "loss"  # the metric that orders the table
    csv: str | None = None  # a file that every column is written to; null: none
    plot: str | None = None  # a file that a plot is written to; null: none

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
