"""Speed and memory of preparing and reading corpora, beside TFDS's own way of doing it.

python scripts/benchmark_corpora.py                    documentation of Python, and 200 MB of made-up lines
python scripts/benchmark_corpora.py a.txt.xz b.jsonl --field text
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import psutil

MEASURE = """
import json, sys, time
from pathlib import Path
from textae.config.schema import CORPORA
from textae.data.corpora import open_corpus

folder, settings = Path(sys.argv[2]), CORPORA[sys.argv[1]](**json.loads(sys.argv[3]))
times = [time.perf_counter()]
corpus = open_corpus(settings, folder)
times.append(time.perf_counter())
corpus = open_corpus(settings, folder)
times.append(time.perf_counter())
size = sum(len(text.encode()) for split in corpus.sizes for text in corpus.texts(split))
times.append(time.perf_counter())
prepare, reopen, read = (after - before for before, after in zip(times, times[1:]))
print(json.dumps({"documents": sum(corpus.sizes.values()), "megabytes": round(size / 1e6, 1),
    "prepare_s": round(prepare, 2), "prepare_mb_per_s": round(size / 1e6 / prepare, 1),
    "reopen_s": round(reopen, 2), "read_s": round(read, 2), "read_mb_per_s": round(size / 1e6 / read, 1)}))
"""


def measure(kind: str, **settings: object) -> dict[str, float]:
    """Figures of one corpus, prepared in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", MEASURE, kind, folder, json.dumps(settings)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = 0
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, watched.memory_info().rss)
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit(process.returncode)
        figures = json.loads(process.stdout.read())
        figures["peak_memory_mb"] = round(peak / 1e6)
        return figures


def measure_tfds(texts: list[str]) -> dict[str, float]:
    """Figures of TFDS's generator, and of reading by `as_data_source` one example at a time."""
    import tensorflow_datasets as tfds

    class Lines(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = "lines"

        def _info(self):
            features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {"train": ((number, {"text": text}) for number, text in enumerate(texts))}

        def _generate_examples(self):
            raise NotImplementedError

    size = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        builder = Lines(data_dir=folder, file_format="array_record")
        builder.download_and_prepare()
        written = time.perf_counter()
        for example in builder.as_data_source("train"):
            example["text"].decode()
        read = time.perf_counter()
    return {
        "documents": len(texts),
        "megabytes": round(size, 1),
        "prepare_mb_per_s": round(size / (written - start), 1),
        "read_mb_per_s": round(size / (read - written), 1),
    }


def made_up(path: Path, megabytes: int) -> Path:
    """A file of lines of about a thousand characters."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        for _ in range(megabytes * 1000):
            file.write(" ".join(draw.choices(words, k=154)) + "\n")
    return path


def show(title: str, figures: dict[str, float]) -> None:
    print(f"{title}: {json.dumps(figures)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--field")
    parser.add_argument("--megabytes", type=int, default=200, help="of made-up lines, without files")
    parser.add_argument("--tfds-documents", type=int, default=20_000, help="for TFDS's own way; 0 leaves it out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files
        if not files:
            show("pydocs", measure("pydocs"))
            files = [str(made_up(Path(folder, "made_up.txt"), arguments.megabytes))]
        for file in files:
            show(Path(file).name, measure("text", files=[file], field=arguments.field))
        if arguments.tfds_documents:
            from textae.data.corpora import documents

            texts = list(islice(documents(files, arguments.field), arguments.tfds_documents))
            show("the same by TFDS", measure_tfds(texts))


if __name__ == "__main__":
    main()
