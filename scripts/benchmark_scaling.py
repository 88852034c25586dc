"""What textae costs against length, vocabulary and size of the corpus; prints tables, writes JSON and a figure.

python scripts/benchmark_scaling.py [reviews.txt.xz ...] [--repeats 7] [--json FILE] [--plot FILE.png]
python scripts/benchmark_scaling.py --only preparing --megabytes 1 10 100 1000

The sections:

length      microseconds of a training step for each real token, texts of full length, equal positions of a batch
vocabulary  the same against the size of the vocabulary
preparing   reading, learning the vocabulary, encoding and storing the text of the files (or Python's documentation)
            over and over until it has a size, beside SentencePiece's encoding of it from memory, and the most memory
            of either, in processes of their own

Variants of a training step take turns, and ratios are medians over rounds of the ratio within a round.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmark_preparing import measured, medians, repeated
from measuring import TextaeTrainer, random_batches, rates, ratio, reported, table, taken
from textae.config.schema import ModelConfig, PydocsConfig
from textae.data.corpora import open_corpus

SECTIONS = ("length", "vocabulary", "preparing")
WHOLE = ("megabytes", "documents", "memory, MB", "SentencePiece's memory, MB")  # figures without decimals


def length(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Cost of a token against the length of texts."""
    for value in options.lengths:
        if value > options.positions or options.positions % value or value % options.model.strides[0]:
            raise ValueError(
                f"expected lengths that divide {options.positions} positions and are multiples of "
                f"{options.model.strides[0]}, received {value}"
            )
    trainer = TextaeTrainer(options.model, options.vocabulary)
    batches = {n: random_batches(options.vocabulary, options.positions // n, n) for n in options.lengths}
    variants = {n: lambda n=n: trainer(taken(batches[n], options.steps)) for n in batches}
    operations = trainer.operations(options.model.strides[0])
    title = f"A training step of {options.positions} positions, vocabulary {options.vocabulary}"
    return costs(title, "length", rates(variants, options.repeats), dict.fromkeys(batches, operations))


def vocabulary(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Cost of a token against the vocabulary."""
    trainers = {size: TextaeTrainer(options.model, size) for size in options.vocabularies}
    batches = {size: random_batches(size, options.positions // 64, 64) for size in trainers}
    variants = {size: lambda size=size: trainers[size](taken(batches[size], options.steps)) for size in trainers}
    operations = {size: trainer.operations(options.model.strides[0]) for size, trainer in trainers.items()}
    title = f"A training step of {options.positions} positions, texts of 64 tokens"
    return costs(title, "vocabulary", rates(variants, options.repeats), operations)


def costs(title: str, what: str, found: dict[int, np.ndarray], operations: dict[int, float]) -> list[dict[str, Any]]:
    """Print and return what a token costs, beside what its products alone would make it cost."""
    first = next(iter(found))
    rows = [
        {
            what: size,
            "microseconds": float(np.median(1e6 / rate)),
            "times the first": ratio(found[first], rate),
            "products, times the first": operations[size] / operations[first],
            "rounds": (1e6 / rate).tolist(),
        }
        for size, rate in found.items()
    ]
    heads = [what, "microseconds for a token", "times the first", "products, times the first"]
    table(title + ".", heads, [list(row.values())[:-1] for row in rows])
    return rows


def preparing(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Speed and memory of preparing against the size of the corpus."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        files = [str(Path(file).resolve()) for file in options.files] or [str(documentation(options, Path(name)))]
        for megabytes in options.megabytes:
            text = repeated(files, Path(name, "repeated.txt"), megabytes=megabytes)
            corpus = {"files": [str(text)]}
            runs: dict[str, list[dict[str, float]]] = {"textae": [], "sentencepiece": []}
            for _ in range(options.repeats if megabytes <= options.once_above else 1):
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    runs["textae"].append(measured("textae", Path(folder), corpus))
                    runs["sentencepiece"].append(measured("sentencepiece", Path(folder, "corpora"), corpus))
            ours, theirs = medians(runs["textae"]), medians(runs["sentencepiece"])
            encoding = np.array([run["encode_s"] for run in runs["sentencepiece"]])
            whole = np.array([run["total_s"] for run in runs["textae"]])
            learning = np.array([run["train_s"] for run in runs["textae"]])
            size = theirs["megabytes"]  # of the train split
            rows.append(
                {
                    "megabytes": size,
                    "documents": ours["documents"],
                    "seconds": float(np.median(whole)),
                    "MB/s": size / float(np.median(whole)),
                    "SentencePiece MB/s": size / float(np.median(encoding)),
                    "times SentencePiece's encoding": ratio(encoding, whole),
                    "without learning the vocabulary": ratio(encoding, whole - learning),
                    "memory, MB": ours["peak_memory_mb"],
                    "SentencePiece's memory, MB": theirs["peak_memory_mb"],
                    "runs": runs,
                }
            )
            print(f"{megabytes:g} MB: {float(np.median(whole)):.1f} s", file=sys.stderr)
    heads = [
        "MB of the train split", "documents", "seconds", "MB/s", "SentencePiece encodes, MB/s", "speed over its",
        "without learning the vocabulary", "most memory, MB", "SentencePiece's, MB",
    ]  # fmt: skip
    title = "Preparing a corpus; speeds are ratios to SentencePiece's encoding alone, of texts that it has in memory"
    table(title + ".", heads, [[f"{v:,.0f}" if k in WHOLE else v for k, v in list(row.items())[:-1]] for row in rows])
    return rows


def documentation(options: argparse.Namespace, folder: Path) -> Path:
    """Write Python's documentation, a document a line."""
    corpus = open_corpus(PydocsConfig(), options.data / "corpora")
    path = folder / "documentation.txt"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(" ".join(text.split()) + "\n" for text in corpus.texts("train"))
    return path


def drawn(report: dict[str, Any]) -> Figure:
    """Draw what was measured, a panel for each section and two for preparing."""
    panels = [
        (section, x, series, y)
        for section, x, series, y in (
            ("length", "length", ("microseconds",), "microseconds for a token"),
            ("vocabulary", "vocabulary", ("microseconds",), "microseconds for a token"),
            ("preparing", "megabytes", ("MB/s", "SentencePiece MB/s"), "MB a second"),
            ("preparing", "megabytes", ("memory, MB", "SentencePiece's memory, MB"), "most memory, MB"),
        )
        if section in report
    ]
    figure = Figure(figsize=(4.5, 3.0 * len(panels)), dpi=160, layout="constrained")
    for number, (section, x, series, y) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, number + 1)
        rows = report[section]
        for name, marker in zip(series, "os", strict=False):
            label = "SentencePiece" if name.startswith("SentencePiece") else "textae"
            axes.plot([row[x] for row in rows], [row[name] for row in rows], marker=marker, label=label)
        axes.set_xscale("log", base=10 if section == "preparing" else 2)
        axes.set(xlabel="megabytes of text" if section == "preparing" else f"{x} (tokens)", ylabel=y)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if len(series) > 1:
            axes.legend()
    return figure


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="documents for preparing; by default Python's documentation")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--steps", type=int, default=2, help="batches of a round")
    parser.add_argument("--positions", type=int, default=8192, help="of a batch")
    parser.add_argument("--lengths", type=int, nargs="+", default=(64, 256, 1024, 4096, 8192))
    parser.add_argument("--vocabulary", type=int, default=8192, help="of length")
    parser.add_argument("--vocabularies", type=int, nargs="+", default=(256, 1024, 8192, 32768))
    parser.add_argument("--channels", type=int, nargs=2, default=ModelConfig().channels)
    parser.add_argument("--latent-size", type=int, default=ModelConfig().latent_size)
    parser.add_argument("--megabytes", type=float, nargs="+", default=(1, 10, 100, 1000))
    parser.add_argument("--once-above", type=float, default=100, help="megabytes above which preparing is run once")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TEXTAE_DATA", "data")))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a figure: png, svg or pdf")
    options = parser.parse_args(arguments)
    options.model = ModelConfig(channels=options.channels, latent_size=options.latent_size)
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    sections = {"length": length, "vocabulary": vocabulary, "preparing": preparing}
    report = reported(options.only, sections, options, options.json)
    if options.plot:
        drawn(report).savefig(options.plot)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
