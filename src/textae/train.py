"""`python -m textae.train [+experiment=NAME] [key=value ...]`: train a model and evaluate it on the test split."""

from pathlib import Path
from typing import Any

from textae.commands import hydra_main, start_keras


def main(composed: Any) -> None:
    """Train in Hydra's run folder."""
    from hydra.core.hydra_config import HydraConfig

    from textae.config import resolve

    config = resolve(composed)
    start_keras()
    from textae.training import fit

    metrics = fit(config, Path(HydraConfig.get().runtime.output_dir))
    print(Path(HydraConfig.get().runtime.output_dir) / "metrics.json", flush=True)
    return metrics


if __name__ == "__main__":
    hydra_main("config", main)
