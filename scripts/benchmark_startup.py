"""Seconds until the command line answers: help, version, a Tab of completion, and `import textae`.

python scripts/benchmark_startup.py                    the median of 15 processes each, in Markdown
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

CASES = {
    "python -c pass": ["-c", "pass"],
    "import textae": ["-c", "import textae"],
    "textae --help": ["-m", "textae", "--help"],
    "textae --version": ["-m", "textae", "--version"],
    "textae completion bash": ["-m", "textae", "completion", "bash"],
    "Tab after textae": ["-m", "textae", "completion", "words", ""],
    "Tab after textae train training.": ["-m", "textae", "completion", "words", "train", "training."],
    "Tab after textae train +experiment=": ["-m", "textae", "completion", "words", "train", "+experiment="],
    "textae train --help": ["-m", "textae", "train", "--help"],
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a process took, and those of them on a processor."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="processes of each case")
    repeats = parser.parse_args().repeats
    print("| what | seconds, median | slowest | processor seconds, median |\n| --- | --- | --- | --- |")
    for name, command in CASES.items():
        seconds(command)  # writes bytecode
        found = [seconds(command) for _ in range(repeats)]
        walls, used = zip(*found, strict=True)
        print(f"| `{name}` | {statistics.median(walls):.3f} | {max(walls):.3f} | {statistics.median(used):.3f} |")


if __name__ == "__main__":
    main()
