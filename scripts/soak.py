"""Train for many tiny steps with validations, checkpoints and TensorBoard, and watch what the process takes.

    python scripts/soak.py --steps 10000

Prints memory and open files over the run, and ends with 1 if a file stayed open, or the memory grew by more than 5 %
after the first two fifths, when the caches of TensorFlow's kernels and of the allocator are full.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

WORDS = "the a small large red blue house tree river runs sleeps sings under over near and never often".split()
SETTINGS = [
    "corpus=text", "corpus.validation_share=0.1", "corpus.test_share=0.1", "tokenizer=bytes", "model.channels=[16,32]",
    "model.latent_size=16", "model.max_length=32", "training.tokens_per_batch=512", "training.num_length_buckets=2",
    "training.validation_documents=20", "training.num_logged_samples=2", "training.checkpoint_every_minutes=0.02",
    "training.ema_decay=0.9",
]  # fmt: skip


def soak(steps: int, place: Path, validations: int = 50) -> list[tuple[int, float, int]]:
    """Train in a process of its own, and return (step, resident MB, open files) after each validation."""
    draw = random.Random(0)
    lines = {" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(2000)}
    (place / "lines.txt").write_text("".join(line + "\n" for line in sorted(lines)))
    every = max(steps // validations, 1)
    command = [
        *(sys.executable, "-m", "textae.train", *SETTINGS, f"corpus.files=[{place / 'lines.txt'}]"),
        *(f"training.max_steps={steps}", f"training.eval_every_steps={every}", f"training.log_every_steps={every}"),
        *(f"data_dir={place / 'data'}", f"hydra.run.dir={place / 'run'}"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    watched, found, said = psutil.Process(process.pid), [], []
    try:
        for line in process.stderr:
            said.append(line)
            if validated := re.match(r"validation at step ([\d,]+)", line):
                time.sleep(0.01)
                memory = watched.memory_info().rss / 1e6
                found.append((int(validated[1].replace(",", "")), memory, watched.num_fds()))
        process.wait()
    finally:
        process.kill()
    if process.wait():
        raise RuntimeError("".join(said[-5:]))
    return found


def growth(found: list[tuple[int, float, int]]) -> tuple[float, int]:
    """Return by which share the memory grew since the first two fifths, and by how many the open files."""
    settled = found[2 * len(found) // 5 :]
    tenth = max(len(settled) // 10, 1)
    first = sum(memory for _, memory, _ in settled[:tenth]) / tenth
    last = sum(memory for _, memory, _ in settled[-tenth:]) / tenth
    return last / first - 1, settled[-1][2] - settled[0][2]


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as place:
        found = soak(steps, Path(place))
    print(f"{'step':>8} {'MB':>8} {'files':>6}")
    for step, memory, files in found[:: max(len(found) // 10, 1)]:
        print(f"{step:8,} {memory:8.1f} {files:6}")
    memory, files = growth(found)
    print(f"memory grew by {100 * memory:.1f} % after the first two fifths, open files by {files}")
    return int(memory > 0.05 or files > 0)


if __name__ == "__main__":
    sys.exit(main())
