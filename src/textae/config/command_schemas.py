"""The schemas of the commands on a trained run."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from textae.config.checks import (
    MOST_BITS,
    Settings,
    require,
    require_at_least,
    require_folder,
    require_objective,
    require_share,
    require_split,
    shard_numbers,
)
from textae.config.choices import CurveKind, ExportFormat, ProbeTask
from textae.config.schema import CorpusConfig, CorruptionConfig

MOST_PASSES = 1000  # in which a token is masked once


def _require_data_set(shard: str, options: EncodeConfig | ScoreConfig) -> None:
    """Require what a shard of a data set needs: files, and a folder for its part."""
    shard_numbers(shard)
    require(options.input not in (None, "-"), "input=FILE, a folder or a glob with shard", options.input)
    require(options.output not in (None, MISSING, "-"), "output=FOLDER with shard", options.output)


@dataclass(slots=True, kw_only=True)
class RunCorpusConfig(CorpusConfig):
    """The corpus that the run was trained on."""

    kind: str = "run"  # the kind of corpus; set by the group's option


@dataclass(slots=True, kw_only=True)
class EvaluateConfig(Settings):
    """The keys of `textae.evaluate`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    corpus: CorpusConfig = MISSING  # the run's corpus, or another one
    split: str = "test"  # train, validation or test
    latent_noise: float = 0.0  # standard deviation of Gaussian noise on the latents
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)  # corruption of the encoder's input
    true_lengths: bool = False  # whether a text's vector is decoded at the text's own length, not the predicted one
    by_length: str | None = None  # CSV file of metrics by document length; null: not written
    importance_samples: int = 0  # draws for the importance-weighted likelihood of a variational run; 0: none
    documents: int | None = None  # first documents of the split that are evaluated; null: all
    curve: CurveKind | None = None  # noise or bits: metrics at each level of it; null: those of the run as it is
    noise_levels: list[float] = field(default_factory=lambda: [n / 10 for n in range(10)])  # 0 to below 1
    bits: list[int] = field(default_factory=lambda: [16, 8, 6, 5, 4, 3, 2])  # bits of a number, 1 to 16
    csv: str | None = None  # CSV file of the curve; null: not written
    plot: str | None = None  # image file of the curve; null: not written
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_split(self.split)
        require_folder("data_dir", self.data_dir)
        require_at_least("latent_noise", self.latent_noise, 0)
        require_at_least("importance_samples", self.importance_samples, 0, 10_000)
        require_at_least("documents", self.documents, 1)
        require(bool(self.noise_levels and self.bits), "levels of a curve", [self.noise_levels, self.bits])
        for level in self.noise_levels:
            require_share("noise_levels", level)
        for number in self.bits:
            require_at_least("bits", number, 1, MOST_BITS)
        if self.curve is None:
            for name in ("csv", "plot"):
                require(getattr(self, name) is None, f"curve=noise or curve=bits with {name}", None)
            return
        require(not self.latent_noise, "latent_noise=0 with curve", self.latent_noise)
        require(self.by_length is None, "no by_length with curve", self.by_length)
        require(self.corruption == CorruptionConfig(), "no corruption with curve", self.corruption)


@dataclass(slots=True, kw_only=True)
class ReconstructConfig(Settings):
    """The keys of `textae.reconstruct`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # input file; null: standard input
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class EncodeConfig(Settings):
    """The keys of `textae.encode`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # input file; null: standard input; with shard also a folder or a glob
    output: str = MISSING  # output file: .npy, .npz or .parquet; with shard a folder
    bits: int | None = None  # bits of a number, 1 to 16, in a .npz file; null: float32
    shard: str | None = None  # I/N or all/N: writes part I of N, or all missing ones, of a Parquet data set; null: none

    def __post_init__(self) -> None:
        require_at_least("bits", self.bits, 1, MOST_BITS)
        if self.shard is not None:
            _require_data_set(self.shard, self)
            require(self.bits is None, "bits=null with shard, whose numbers are float32", self.bits)


@dataclass(slots=True, kw_only=True)
class DecodeConfig(Settings):
    """The keys of `textae.decode`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str = MISSING  # file of latents, written by textae.encode
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class ScoreConfig(Settings):
    """The keys of `textae.score`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # input file; null: standard input; with shard also a folder or a glob
    output: str | None = None  # output file; null: standard output; with shard a folder
    shard: str | None = None  # I/N or all/N: writes part I of N, or all missing ones, of a Parquet data set; null: none
    sort: bool = False  # whether the highest scores come first
    # passes in which each token is masked once; 0: no token is masked; null: by the masks of the run's training
    masked_passes: int | None = None
    baseline: bool = False  # whether baselines are fitted to the train split, and their scores written as well
    labels: str | None = None  # file with 1 for each line that is an anomaly and 0 for others; null: unknown
    corpus: CorpusConfig = MISSING  # whose train split the baselines are fitted to; the run's, or another one
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_folder("data_dir", self.data_dir)
        require_at_least("masked_passes", self.masked_passes, 0, MOST_PASSES)
        require(
            self.masked_passes != 1, "masked_passes of 0 or at least 2: with 1 no token is seen", self.masked_passes
        )
        shared = self.labels == "-" and self.input in (None, "-")
        require(not shared, "input=FILE with labels=-, which takes all of standard input", self.input)
        if self.shard is not None:
            _require_data_set(self.shard, self)
            require(not self.sort, "sort=false with shard, whose lines keep their order", self.sort)
            require(self.labels is None, "labels=null with shard", self.labels)


@dataclass(slots=True, kw_only=True)
class InterpolateConfig(Settings):
    """The keys of `textae.interpolate`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # file of two lines; null: standard input
    output: str | None = None  # output file; null: standard output
    steps: int = 7  # number of texts, with both ends

    def __post_init__(self) -> None:
        require_at_least("steps", self.steps, 2)


@dataclass(slots=True, kw_only=True)
class ArithmeticConfig(Settings):
    """The keys of `textae.arithmetic`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # file of three lines; null: standard input
    output: str | None = None  # output file; null: standard output


@dataclass(slots=True, kw_only=True)
class NeighboursConfig(Settings):
    """The keys of `textae.neighbours`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    input: str | None = None  # file of texts; null: standard input
    output: str | None = None  # output file; null: standard output
    documents: str | None = None  # file of documents, one per line; null: those of the corpus
    corpus: CorpusConfig = MISSING  # the run's corpus, or another one
    split: str = "train"  # train, validation or test
    count: int = 10  # neighbours of each text
    baselines: bool = False  # whether the nearest by baselines follow: bag of words, LSA, installed static embedding
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

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
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

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    output: str = MISSING  # folder to write; it must not exist
    format: ExportFormat = ExportFormat.saved_model  # SavedModel or ONNX
    int8: bool = False  # whether weights are quantised to 8 bits, with format=onnx; what that costs is measured
    corpus: CorpusConfig = MISSING  # whose test split int8 is measured on; the run's, or another one
    documents: int = 500  # first documents of the test split that int8 is measured on
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_folder("data_dir", self.data_dir)
        require_at_least("documents", self.documents, 1)
        onnx = self.format is ExportFormat.onnx
        require(onnx or not self.int8, "format=onnx with int8=true", self.format.name)


@dataclass(slots=True, kw_only=True)
class ProbeConfig(Settings):
    """The keys of `textae.probe`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    corpus: CorpusConfig = MISSING  # a corpus, with labels for task=classification
    # classification: a text's label; containment: whether a sentence is of a paragraph
    task: ProbeTask = ProbeTask.classification
    baselines: bool = True  # whether baselines are measured too: bag of words, LSA and an installed static embedding
    labels: int | None = None  # number of labelled train documents that are used; null: all
    seed: int = 0  # seed of their choice, and of the sentences of task=containment
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_folder("data_dir", self.data_dir)
        require_at_least("labels", self.labels, 2)
        labels = self.task is ProbeTask.classification or self.labels is None
        require(labels, "labels=null with task=containment, which needs no labels", self.labels)
        require_at_least("seed", self.seed, 0)


@dataclass(slots=True, kw_only=True)
class ReportConfig(Settings):
    """The keys of `textae.report`."""

    runs: str | None = None  # folder with runs, or a glob of folders
    curves: list[str] | None = None  # CSV files of textae.evaluate curve=..., or globs of them, in place of runs
    sort: str = "loss"  # metric that orders the table
    all: bool = False  # whether the table has every column; else as many as fit into 120 characters
    csv: str | None = None  # CSV file to write, with every column; null: none
    plot: str | None = None  # image file to write; null: none

    def __post_init__(self) -> None:
        require_objective("sort", self.sort)
        require(self.runs is None or self.curves is None, "runs=FOLDER or curves=[FILE,...]", self.runs)


@dataclass(slots=True, kw_only=True)
class DemoConfig(Settings):
    """The keys of `textae.demo`."""

    run: str = MISSING  # trained run: a folder, a pretrained model or hf://USER/NAME
    port: int = 7860  # port of 127.0.0.1; 0: any that is free
    open: bool = False  # whether the page is opened in the browser
    corpus: CorpusConfig = MISSING  # whose train split noise, bits and baselines use; the run's, or another one
    data_dir: str = "data"  # folder of prepared corpora

    def __post_init__(self) -> None:
        require_folder("data_dir", self.data_dir)
        require_at_least("port", self.port, 0, 65_535)


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
    "demo": DemoConfig,
}
