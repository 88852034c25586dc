"""What a trained run saves on other texts: training that begins with it, beside training from scratch.

    python scripts/benchmark_fine_tuning.py outputs/default reviews.train.txt --test reviews.test.txt
    python scripts/benchmark_fine_tuning.py pydocs-small reviews.train.txt --set training.learning_rate=0.0003

Both are trained in turn in this process on the same machine, with the configuration of FROM_RUN but for the corpus: the
same model, the same batches, the same learning rate. They differ in the weights that they begin with, and in the
tokenizer: the fine-tuned one keeps that of FROM_RUN, the one from scratch trains its own on the texts, which counts as
preparing. Each is validated before the first update (by an update at a rate of 1e-12) and after every few ones. A line
is printed for each validation, and then a table: when the share of right validation tokens was at least the goal, and
what else was reached.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

LEAST_RATE = 1e-12  # of an update that changes nothing


class Record:
    """A callback that notes each validation, and when the first update ended."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.prepared = 0.0
        self.rows: list[dict[str, float]] = []

    def on_step(self, progress: Any) -> None:
        """Note how long it took until training had begun."""
        self.prepared = self.prepared or time.perf_counter() - self.begun - progress.seconds

    def on_validation(self, progress: Any, metrics: Any) -> None:
        """Note what was reached."""
        names = ("token_accuracy", "exact_match", "loss")
        self.rows.append({"step": progress.step, "minutes": progress.seconds / 60} | {n: metrics[n] for n in names})
        print("   ", described(self.rows[-1]), flush=True)


def described(row: dict[str, float]) -> str:
    """Return a validation as a line."""
    return (
        f"update {row['step']:4.0f}, {row['minutes']:5.2f} minutes: token accuracy {row['token_accuracy']:.5f}, "
        f"exact match {row['exact_match']:.3f}, loss {row['loss']:.4f}"
    )


def settings_of(run: str, options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Return what both trainings have in common, as arguments of `textae.fit`."""
    from textae.config.mapping import flat, from_mapping, to_mapping
    from textae.runs.finding import find_run
    from textae.runs.run_folder import RunDir

    kept = flat(to_mapping(from_mapping(RunDir(find_run(run)).config())))
    settings = {key: value for key, value in kept.items() if key.split(".")[0] in ("model", "tokenizer", "training")}
    settings |= {"data_dir": str(data), "training.max_steps": options.steps, "training.max_minutes": None}
    settings |= {"training.max_epochs": None, "training.eval_every_steps": options.every, "training.loggers": []}
    settings |= {"training.validation_documents": options.documents, "training.keep_checkpoint": False}
    return settings | dict(word.split("=", 1) for word in options.set)


def trained(files: list[Path], test: Path | None, folder: Path, settings: dict[str, Any]) -> tuple[Record, Any]:
    """Train once; return what was noted, and the metrics of the test split."""
    import textae

    record = Record()
    given = {} if test is None else {"test_texts": test}
    autoencoder = textae.fit(files, output=folder, callbacks=[record], verbose=False, **given, **settings)
    return record, autoencoder.metrics


def measure(files: list[Path], options: argparse.Namespace) -> dict[str, tuple[Record, Record, Any]]:
    """Train both; return the record of the weights that each began with, that of its training, and its metrics."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="fine_tuning_") as temporary:
        folder = Path(temporary)
        for name, initial in (("fine-tuned", options.run), ("from scratch", None)):
            print(name, flush=True)
            data = folder / name.replace(" ", "_") / "data"  # so that each prepares the texts for itself
            settings = settings_of(options.run, options, data) | {"training.initial_run": initial}
            still = {"training.learning_rate": LEAST_RATE, "training.warmup_steps": 0, "training.max_steps": 1}
            still |= {"training.ema_decay": 0.0}
            before, _ = trained(files, options.test, data.parent / "before", settings | still)
            after, metrics = trained(files, options.test, data.parent / "run", settings)
            found[name] = before, after, metrics
    return found


def table(found: dict[str, tuple[Record, Record, Any]], goal: float) -> list[str]:
    """Return the lines of a table, a row for each training."""
    heads = ["training", "preparing, minutes", "before the first update", f"updates to {goal}", f"minutes to {goal}"]
    heads += ["token accuracy", "exact match", "loss", "minutes", "test token accuracy", "test exact match", "test CER"]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for name, (before, after, metrics) in found.items():
        first, last = before.rows[0], after.rows[-1]
        rows = [first | {"step": 0, "minutes": 0.0}, *after.rows]
        reached = next((row for row in rows if row["token_accuracy"] >= goal), None)
        cells = [name, f"{before.prepared / 60:.1f}", f"{first['token_accuracy']:.5f}, {first['exact_match']:.3f}"]
        cells += ["not reached"] * 2 if reached is None else [f"{reached['step']:.0f}", f"{reached['minutes']:.2f}"]
        cells += [f"{last['token_accuracy']:.5f}", f"{last['exact_match']:.3f}", f"{last['loss']:.4f}"]
        cells += [f"{last['minutes']:.1f}"] + [f"{metrics[n]:.5f}" for n in ("token_accuracy", "exact_match", "cer")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tuning a run on other texts, beside training from scratch.")
    parser.add_argument("run", help="what is fine-tuned: a run folder, a pretrained model or hf://USER/NAME")
    parser.add_argument("files", type=Path, nargs="+", help="texts to train on")
    parser.add_argument("--test", type=Path, help="texts of the test split; default: a share of FILES")
    parser.add_argument("--steps", type=int, default=60, help="updates of each training (default: 60)")
    parser.add_argument("--every", type=int, default=10, help="updates between validations (default: 10)")
    parser.add_argument("--documents", type=int, default=100, help="validation documents (default: 100)")
    parser.add_argument("--goal", type=float, default=0.999, help="share of right validation tokens (default: 0.999)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other settings of both trainings")
    options = parser.parse_args()
    print("\n".join(table(measure(options.files, options), options.goal)))


if __name__ == "__main__":
    main()
