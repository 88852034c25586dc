"""Keys that are set to something other than their default where nothing reads them."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from textae.config.choices import KlSchedule, OutputKind, Schedule, TokenizerKind, VocabularyLossKind
from textae.config.schema import Config


def without_effect(config: Config) -> dict[str, str]:
    """Return the keys that were set and have no effect, and for each the setting that is the reason.

    A key whose value is its default does not count: nobody need have set it.
    """
    reasons = _reasons(config)
    return {key: reason for key, reason in reasons.items() if _value(config, key) != _default(config, key)}


def warn_without_effect(config: Config, logger: logging.Logger) -> None:
    """Have a logger warn of the keys that were set and have no effect, in one line, if there are any."""
    if unread := without_effect(config):
        logger.warning("no effect: " + "; ".join(f"{key} ({reason})" for key, reason in unread.items()))


def _reasons(config: Config) -> dict[str, str]:
    """Return every key that has no effect in this configuration, with the setting that is the reason."""
    corpus, tokenizer, model, training = config.corpus, config.tokenizer, config.model, config.training
    reasons: dict[str, str] = {}
    for split in {"validation", "test"} - corpus.split_fractions().keys():
        reasons[f"corpus.{split}_share"] = f"other keys name the {split} split"
    if training.initial_run is not None:
        keys = ("vocabulary_size", "target_vocabulary_size", "sample_megabytes")
        reasons |= {f"tokenizer.{key}": "training.initial_run has a tokenizer" for key in keys}
        reasons["model.initialization"] = "training.initial_run has weights"
    if tokenizer.kind not in (TokenizerKind.unigram, TokenizerKind.bpe):
        reasons["tokenizer.sample_megabytes"] = f"tokenizer.kind={tokenizer.kind.name}"
    if tokenizer.kind is TokenizerKind.bytes:
        reasons["tokenizer.target_vocabulary_size"] = "tokenizer.kind=bytes"
    elif tokenizer.vocabulary_size is not None:
        reasons["tokenizer.target_vocabulary_size"] = f"tokenizer.vocabulary_size={tokenizer.vocabulary_size}"
    if not model.variational:
        keys = ("kl_weight", "kl_schedule", "kl_warmup", "kl_cycles", "target_rate", "free_bits")
        reasons |= {f"model.{key}": "model.variational=false" for key in keys}
    elif model.kl_schedule is KlSchedule.constant:
        reasons |= dict.fromkeys(("model.kl_warmup", "model.kl_cycles"), "model.kl_schedule=constant")
    elif model.kl_schedule is KlSchedule.linear:
        reasons["model.kl_cycles"] = "model.kl_schedule=linear"
    if not model.bag_of_words:
        reasons["training.bag_of_words_weight"] = "model.bag_of_words=false"
    if not training.contrastive_weight:
        reasons["training.contrastive_temperature"] = "training.contrastive_weight=0"
    if model.output is not OutputKind.cosine:
        reasons["model.logit_scale"] = f"model.output={model.output.name}"
    if not any([*model.residual_blocks, *(model.encoder_residual_blocks or [])]):
        keys = ("kernel_size", "expansion", "residual_dropout")  # normalization also stands in front of the output
        reasons |= {f"model.{key}": "the model has no residual blocks" for key in keys}
    if training.schedule is Schedule.constant:
        reasons["training.final_learning_rate"] = "training.schedule=constant"
    if training.vocabulary_loss is VocabularyLossKind.full:
        keys = ("training.sampled_ids", "training.sampling_distribution")
        reasons |= dict.fromkeys(keys, "training.vocabulary_loss=full")
    if training.overfit_documents is not None:
        reasons["training.validation_documents"] = f"training.overfit_documents={training.overfit_documents}"
    return reasons


def _value(config: Config, key: str) -> Any:
    group, name = key.split(".")
    return getattr(getattr(config, group), name)


def _default(config: Config, key: str) -> Any:
    group, name = key.split(".")
    return {field.name: field.default for field in dataclasses.fields(getattr(config, group))}[name]
