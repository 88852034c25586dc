"""`python -m textae.train [+experiment=NAME] [key=value ...]`: train a model and evaluate it on the test split."""

import math
from pathlib import Path
from typing import Any

from textae.commands import hydra_main, start_keras


def main(composed: Any) -> float | None:
    """Train in Hydra's run folder; return what a search judges the job by, None where that is no number."""
    from hydra.core.hydra_config import HydraConfig

    from textae.config import resolve
    from textae.corpora import open_corpus
    from textae.folders import check_folder
    from textae.rundir import RunDir

    config = resolve(composed)
    folder = Path(HydraConfig.get().runtime.output_dir)
    RunDir(folder).check_place(Path(config.data_dir))
    check_folder("data_dir", config.data_dir)
    # What is wrong with a corpus is said before Keras takes seconds to load; `fit` finds it prepared.
    open_corpus(config.corpus.kind, Path(config.data_dir) / "corpora", **config.corpus.settings())
    start_keras()
    from textae.training import fit

    metrics = fit(config, folder)
    print(folder / "metrics.json", flush=True)
    reached = metrics.get(config.objective)
    return reached if reached is not None and math.isfinite(reached) else None


if __name__ == "__main__":
    hydra_main("config", main)
