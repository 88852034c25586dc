"""The schemas where the YAML files of `configs/` name them; only this module and `cli/` know Hydra."""

from __future__ import annotations

import functools

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from textae.config.command_schemas import COMMANDS, RunCorpusConfig
from textae.config.metric_table import DIRECTIONS
from textae.config.schema import (
    CORPORA,
    Config,
    DistributedConfig,
    ModelConfig,
    TokenizerConfig,
    TrainingConfig,
    UpsamplerConfig,
)
from textae.config.yaml_files import config_dir as config_dir


@functools.cache
def register() -> None:
    """Store the schemas under the names that the YAML files' defaults lists use, once in a process.

    Those of groups have a group of their own, so that a sweep over `model=glob(*)` finds models only.
    """
    Plugins.instance()  # they store what the files of configs/hydra take the place of
    store = ConfigStore.instance()
    launchers = [("launcher", name) for name in ("joblib", "submitit_local", "submitit_slurm")]
    for group, name in [*launchers, ("sweeper", "optuna")]:
        store.repo["hydra"].get(group, {}).pop(f"{name}.yaml", None)
    store.store(name="config_schema", node=Config)
    for kind, schema in (CORPORA | {"run": RunCorpusConfig}).items():
        store.store(group="schema", name=f"{kind}_corpus", node=schema)
    for name, schema in COMMANDS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="schema", name="tokenizer", node=TokenizerConfig)
    store.store(group="schema", name="model", node=ModelConfig)
    store.store(group="schema", name="upsampler", node=UpsamplerConfig)
    store.store(group="schema", name="training", node=TrainingConfig)
    store.store(group="schema", name="distributed", node=DistributedConfig)
    OmegaConf.register_new_resolver("textae.direction", _direction, replace=True)


def _direction(objective: str) -> str:
    """Return "minimize" or "maximize"; a name that is none is refused later, with the whole configuration."""
    return DIRECTIONS.get(objective, "minimize")
