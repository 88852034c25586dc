"""Speed and memory of preparing a corpus, beside SentencePiece's own training and encoding.

python scripts/benchmark_preparing.py reviews.train.txt.xz --test reviews.test.txt.xz --repeats 3
python scripts/benchmark_preparing.py reviews.train.txt.xz --copies 5        the same text five times over

SentencePiece is given all documents in memory and keeps nothing; textae starts from the files and an empty
folder and ends with token stores on disk. Both run in processes of their own, in turn.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

KIND, SAMPLE_MEGABYTES = "unigram", 5.0  # as TokenizerConfig has them
PORTION = 4 << 20  # characters that SentencePiece encodes at once


def run_sentencepiece(folder: Path, corpus: dict[str, Any]) -> dict[str, float]:
    """Seconds of training and of encoding the train split; `folder` holds the prepared corpus."""
    import sentencepiece

    from textae.config.schema import TextConfig
    from textae.data.corpora import documents, open_corpus
    from textae.data.preparation import DEFAULT_VOCABULARY, in_portions
    from textae.data.tokenizers import train_tokenizer
    from textae.data.tokenizers.sampling import training_sample

    start = time.perf_counter()
    read = sum(len(text) for text in documents(corpus["files"]))
    reading = time.perf_counter() - start
    texts = list(open_corpus(TextConfig(**corpus), folder).texts("train"))
    size = sum(len(text.encode()) for text in texts)
    sample = training_sample(texts, int(SAMPLE_MEGABYTES * 1e6))
    portions = list(in_portions(texts, PORTION))

    start, cpu = time.perf_counter(), time.process_time()
    model = train_tokenizer(KIND, sample, DEFAULT_VOCABULARY[KIND], nearest=True).model
    trained = time.perf_counter()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokens = 0
    for portion in portions:
        encoded = processor.encode(portion, out_type="numpy", num_threads=os.cpu_count())
        tokens += sum(map(len, encoded))
    end = time.perf_counter()
    return {
        "total_s": end - start,
        "cpu_s": time.process_time() - cpu,
        "train_s": trained - start,
        "encode_s": end - trained,
        "megabytes": size / 1e6,
        "tokens": tokens,
        "reading_the_files_s": reading,  # not part of the total
        "characters_read": read,
    }


def run_textae(folder: Path, corpus: dict[str, Any]) -> dict[str, float]:
    """Seconds of `textae.data.preparation.prepare` by phase."""
    spent: dict[str, float] = {}

    def timed(function: Callable, phase: str) -> Callable:
        def call(*positional: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*positional, **named)
            finally:
                spent[phase] = spent.get(phase, 0.0) + time.perf_counter() - start

        return call

    start, cpu = time.perf_counter(), time.process_time()
    from textae.config.schema import TextConfig, TokenizerConfig
    from textae.data import preparation as prepared
    from textae.data.tokenizers import training

    spent["import_s"] = time.perf_counter() - start
    prepared.open_corpus = timed(prepared.open_corpus, "corpus_s")
    training.training_sample = timed(training.training_sample, "sample_s")
    prepared.train_tokenizer = timed(prepared.train_tokenizer, "sample_and_train_s")
    prepared._write_tokens = timed(prepared._write_tokens, "encode_and_write_s")
    made = prepared.prepare(folder, TextConfig(**corpus), TokenizerConfig(kind=KIND, sample_megabytes=SAMPLE_MEGABYTES))
    end = time.perf_counter()
    spent["train_s"] = spent.pop("sample_and_train_s") - spent["sample_s"]
    spent["rest_s"] = end - start - sum(spent.values())
    return {
        "total_s": end - start,
        "cpu_s": time.process_time() - cpu,
        **spent,
        "tokens": made.train.tokens,
        "documents": len(made.train),
    }


def measured(what: str, folder: Path, corpus: dict[str, Any]) -> dict[str, float]:
    """Figures of one of the two in a new process, and the peak memory of it and its children."""
    command = [sys.executable, __file__, "--only", what, str(folder), json.dumps(corpus)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watched = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.stderr.read())
    return json.loads(process.stdout.read()) | {"peak_memory_mb": peak / 1e6}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure."""
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="txt, plain or compressed")
    parser.add_argument("--test", nargs="+", help="files of the test split, by default a part of the others")
    parser.add_argument("--copies", type=int, default=1, help="the text so many times over, decompressed")
    parser.add_argument("--workers", type=int, help="processes that prepare, by default as many as cores")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        files = [str(Path(file).resolve()) for file in arguments.files]
        if arguments.copies > 1:
            files = [str(repeated(files, temporary / "repeated.txt", copies=arguments.copies))]
        corpus: dict[str, Any] = {"files": files, "workers": arguments.workers}
        if arguments.test:
            corpus["test_files"] = [str(Path(file).resolve()) for file in arguments.test]
        runs: dict[str, list[dict[str, float]]] = {"textae": [], "sentencepiece": []}
        for _ in range(arguments.repeats):
            with tempfile.TemporaryDirectory(dir=temporary) as folder:
                runs["textae"].append(measured("textae", Path(folder), corpus))
                runs["sentencepiece"].append(measured("sentencepiece", Path(folder, "corpora"), corpus))

    figures: dict[str, Any] = {what: medians(group) for what, group in runs.items()}
    figures["ratio"], figures["cpu_ratio"] = (
        round(
            statistics.median(
                ours[key] / theirs[key] for ours, theirs in zip(runs["textae"], runs["sentencepiece"], strict=True)
            ),
            2,
        )
        for key in ("total_s", "cpu_s")
    )
    megabytes = figures["sentencepiece"]["megabytes"]
    for what in runs:
        figures[what]["mb_per_s"] = round(megabytes / figures[what]["total_s"], 1)
        print(f"{what}: {json.dumps(figures[what])}")
    print(f"textae / SentencePiece: {figures['ratio']} in time, {figures['cpu_ratio']} in processor time")
    if arguments.output:
        figures |= {"runs": runs, "processors": os.cpu_count()}
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


def repeated(files: list[str], path: Path, *, copies: float = math.inf, megabytes: float = math.inf) -> Path:
    """A file with the documents of the files, a line each, over and over until either limit is reached."""
    from textae.data.corpora import documents

    if not min(copies, megabytes) < math.inf:
        raise ValueError("expected a limit of copies or megabytes, received neither")
    written = 0
    with path.open("wb") as file:
        for _ in itertools.takewhile(lambda copy: copy < copies, itertools.count()):
            before = written
            for text in documents(files):
                if written >= megabytes * 1e6:
                    return path
                written += file.write(f"{text}\n".encode())
            if written == before:
                raise ValueError(f"expected documents, received none in {', '.join(files)}")
    return path


if __name__ == "__main__":
    if sys.argv[1:2] == ["--only"]:
        run = {"textae": run_textae, "sentencepiece": run_sentencepiece}[sys.argv[2]]
        print(json.dumps(run(Path(sys.argv[3]), json.loads(sys.argv[4]))))
    else:
        main()
