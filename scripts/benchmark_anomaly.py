"""Anomalies in the three logs of make_logs.py: the experiment `anomaly` beside the baselines of `textae.score`.

python scripts/benchmark_anomaly.py FOLDER [--seeds 0 1 2] [--logs packages web imports] [--clean] [-- KEY=VALUE ...]

For each seed it writes the logs, trains on yesterday's, scores today's and prints a table: area under the ROC curve and
average precision, the mean over the seeds. What is in FOLDER already is used again. Settings after `--` are those of
the training.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import make_logs

METRICS = ("auc", "average_precision")
Found = dict[str, dict[str, float]]  # of each detector its metrics


def measure(folder: Path, name: str, settings: list[str]) -> Found:
    """Train on a log, score the next day's, and return each detector's metrics and the minutes of training."""
    run, log = folder / f"{name}.run", folder / f"{name}.train.log"
    train = ["+experiment=anomaly", "corpus=text", f"corpus.files=[{log}]", f"hydra.run.dir={run}", *settings]
    data = f"data_dir={folder / 'data'}"
    _command("train", *train, data)
    score = ["baseline=true", f"input={folder / f'{name}.test.log'}", f"labels={folder / f'{name}.labels'}"]
    found = json.loads(_command("score", f"run={run}", *score, data))
    minutes = json.loads((run / "metrics.json").read_text())["train_seconds"] / 60
    detectors = [key.removesuffix("_auc") for key in found if key.endswith("_auc")]
    rows = {"textae": {metric: found[metric] for metric in METRICS} | {"minutes": minutes}}
    return rows | {own: {metric: found[f"{own}_{metric}"] for metric in METRICS} for own in detectors}


def _command(name: str, *settings: str) -> str:
    command = [sys.executable, "-m", f"textae.{name}", *settings]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(name: str, found: list[Found]) -> str:
    """Return rows of Markdown: a detector and its metrics, the means over the seeds."""
    lines = []
    for detector in found[0]:
        means = [statistics.mean(row[detector][metric] for row in found) for metric in METRICS]
        lines.append(f"| {name} | {detector} | {means[0]:.3f} | {means[1]:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--logs", nargs="+", default=list(make_logs.LOGS), choices=make_logs.LOGS)
    parser.add_argument("--clean", action="store_true", help="no anomalies in the logs to train on")
    parser.add_argument("settings", nargs="*", help="of the training")
    options = parser.parse_args()
    print("| log | detector | AUC | average precision |\n| --- | --- | --- | --- |")
    minutes = []
    for name in options.logs:
        found = []
        for seed in options.seeds:
            folder = (options.folder / f"seed{seed}{'-clean' if options.clean else ''}").resolve()
            make_logs.write(folder, name, make_logs.make(name, seed, clean=options.clean))
            found.append(measure(folder, name, options.settings))
            minutes.append(found[-1]["textae"]["minutes"])
        print(table(name, found), flush=True)
    print(f"\n{len(options.seeds)} seeds; training took {min(minutes):.1f} to {max(minutes):.1f} minutes.")


if __name__ == "__main__":
    main()
