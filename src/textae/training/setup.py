"""From a configuration to what is trained: batches, the model with its training step, and the evaluation model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from textae.config.choices import Distributed, Initialization, SamplingDistribution, VocabularyLossKind
from textae.config.schema import Config
from textae.data.batching import Batches, RowShare
from textae.data.corpora import Corpus
from textae.data.corruption import corruption_from
from textae.data.preparation import Prepared, first_documents, in_portions, prepare
from textae.data.special_tokens import SPECIAL_IDS
from textae.data.token_store import TokenStore
from textae.data.tokenizers import Tokenizer
from textae.hardware import all_devices, choose_compile, choose_precision, process_index
from textae.inference.text_autoencoder import TextAutoencoder, set_weights
from textae.losses.bag_of_words import BagOfWordsTerm, token_weights
from textae.losses.candidates import unigram_distribution
from textae.losses.contrastive import ContrastiveTerm
from textae.losses.reconstruction import ReconstructionObjective, Term, VocabularySample
from textae.models.autoencoder import Autoencoder, build
from textae.models.frequencies import log_frequencies
from textae.models.initialization import initialize
from textae.models.isolation import isolated
from textae.models.shapes import parameters
from textae.training.initial_run import InitialRun
from textae.training.optimizers import optimizer
from textae.training.steps import Objective, TrainingStep, training_step

SAMPLED_FROM = 16_384  # ids of a vocabulary from which on training.vocabulary_loss=auto samples: docs/speed.md


@dataclass(frozen=True)
class Arithmetic:
    """How products are computed, and where.

    precision: "float32" or "bfloat16". xla: whether XLA compiles the step. devices: those of JAX that share each batch,
    of all processes; none: the default device.
    """

    precision: str
    xla: bool
    devices: tuple[Any, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Arithmetic:
        """Return what the configuration asks for, and for "auto" what suits this machine."""
        training = config.training
        precision = choose_precision(training.precision.name, config.model.fourier_features)
        devices = all_devices() if config.distributed.mode is Distributed.auto else ()
        return cls(precision, choose_compile(training.compile.name) == "xla", devices)

    @property
    def rows(self) -> RowShare:
        """The rows of each batch that this process has."""
        own = process_index()
        mine = [number for number, device in enumerate(self.devices) if device.process_index == own]
        return RowShare(len(self.devices), tuple(mine)) if self.devices else RowShare()


def prepared_corpus(config: Config, corpus: Corpus | None, given: Tokenizer | None) -> Prepared:
    """Return the corpus, the tokenizer and the tokens that a run trains on.

    Args:
        config: the configuration.
        corpus: that of the configuration, where it is open already.
        given: a tokenizer in place of one that is trained.
    """
    training = config.training
    prepared = prepare(
        Path(config.data_dir),
        config.corpus,
        config.tokenizer,
        training.validation_documents,
        corpus,
        given,
    )
    if training.overfit_documents is not None:
        prepared = first_documents(prepared, training.overfit_documents)
    return prepared


def training_batches(config: Config, prepared: Prepared, arithmetic: Arithmetic) -> Batches:
    """Return the batches of the train split.

    Raises:
        ValueError: every document is left out as too long.
    """
    batches = Batches(
        prepared.train,
        max_length=config.model.max_length,
        stride=int(np.prod(config.model.strides)),
        tokens_per_batch=config.training.tokens_per_batch,
        length_buckets=config.training.num_length_buckets,
        overflow=config.model.overflow.name,
        seed=config.training.seed,
        fixed_rows=arithmetic.xla,
        length_curriculum=config.training.length_curriculum,
        random_length_rate=config.random_length_rate,
        rows=arithmetic.rows,
    )
    if not len(batches):
        raise ValueError(_none_short_enough("training documents", config.model.max_length))
    return batches


def check_splits(config: Config, prepared: Prepared) -> None:
    """Raise a ValueError if every document of the validation or test split is left out as too long."""
    model = config.model
    if model.overflow.name != "drop":
        return
    for split, texts in (("validation", prepared.validation), ("test", prepared.test_texts())):
        encoded = (ids for portion in in_portions(texts, 1 << 16) for ids in prepared.tokenizer.encode(portion))
        if all(len(ids) >= model.max_length for ids in encoded):  # with its end a document has a token more
            raise ValueError(_none_short_enough(f"documents of the {split} split", model.max_length))


def _none_short_enough(documents: str, max_length: int) -> str:
    return (
        f"expected {documents} of at most model.max_length={max_length} tokens, found none; "
        "model.overflow=split or truncate keeps longer ones"
    )


def check_memory(config: Config, vocabulary_size: int) -> None:
    """Raise a ValueError if not even weights, gradients and the optimizer's state have room in the memory."""
    count, available = parameters(config.model, vocabulary_size), psutil.virtual_memory().available
    if 4 * 4 * count > available:
        raise ValueError(
            f"expected a model that {available / 1e9:.1f} GB of free memory can train, found {count:,} "
            f"parameters, which take {4 * 4 * count / 1e9:,.1f} GB"
        )


def token_statistics(config: Config, store: TokenStore, initialized: bool = False) -> dict[str, np.ndarray]:
    """Return what `training_model` needs to know of the train split's tokens; less, where it is `initialized`."""
    found = {}
    begins_with_counts = config.model.output_bias or config.model.initialization is Initialization.codebook
    by_frequency = config.training.sampling_distribution is SamplingDistribution.unigram
    if config.model.bag_of_words or (begins_with_counts and not initialized) or by_frequency:
        found["token_counts"] = store.token_counts()
    if config.model.initialization is Initialization.cooccurrence and not initialized:
        from textae.data.cooccurrence import cooccurrence_vectors

        size = min(config.model.latent_size, *config.model.channels)
        found["vectors"] = cooccurrence_vectors(store, size, config.training.seed)
    return found


def training_model(
    config: Config,
    vocabulary_size: int,
    first_text_id: int,
    arithmetic: Arithmetic,
    initial: InitialRun | None = None,
    goes_on: bool = False,
    token_counts: np.ndarray | None = None,
    vectors: np.ndarray | None = None,
) -> tuple[Autoencoder, TrainingStep]:
    """Return a new model of a configuration, and the step that trains it.

    Args:
        config: the configuration.
        vocabulary_size: the number of token ids.
        first_text_id: the lowest id that stands for text by itself; corruption substitutes such ids.
        arithmetic: how products are computed.
        initial: the run whose weights the model begins with, in place of `model.initialization`.
        goes_on: whether a checkpoint's weights replace those that the model is made with.
        token_counts: (vocabulary_size,), how often each id occurs in the train split, for a bag-of-words head, an
            output bias and the initialization "codebook"; None: as often as each other one.
        vectors: (vocabulary_size, size) of tokens, for the initialization "cooccurrence".
    """
    training = config.training
    if token_counts is None:
        token_counts = np.ones(vocabulary_size)
    with isolated(seed=training.seed):
        dtype = "mixed_bfloat16" if arithmetic.precision == "bfloat16" else "float32"
        model = build(config.model, vocabulary_size, training.seed, dtype)
        if initial is None and not goes_on:
            kind, rate = config.model.initialization.name, config.model.target_rate
            initialize(model, kind, vectors=vectors, counts=token_counts, target_rate=rate)
    if model.bag_of_words is not None:
        model.bag_of_words.assign_frequencies(token_counts)
    if model.bias is not None:
        model.bias.assign(log_frequencies(token_counts))
    if initial is not None:
        set_weights(model, initial.weights, "training.initial_run")
    model.encoder.trainable = not config.encoder_frozen
    model.decoder.project.trainable = training.train_frequencies
    step = training_step(
        model,
        _objective(config, model, first_text_id, arithmetic, token_counts),
        optimizer(
            training.optimizer.name,
            weight_decay=training.weight_decay,
            beta_1=training.beta_1,
            beta_2=training.beta_2,
        ),
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        max_gradient_norm=training.max_gradient_norm,
        ema_decay=training.ema_decay,
        xla=arithmetic.xla,
        devices=arithmetic.devices,
    )
    return model, step


def _objective(
    config: Config, model: Autoencoder, first_text_id: int, arithmetic: Arithmetic, token_counts: np.ndarray
) -> Objective:
    """Return what the step minimises, with the corruption of its input."""
    training = config.training

    def corruption(settings: Mapping[str, Any], first_id: int = first_text_id) -> Any:
        return corruption_from(settings, first_id=first_id, vocabulary_size=model.vocabulary_size, seed=model.seeds)

    terms: list[Term] = []
    if config.model.bag_of_words:
        terms.append(BagOfWordsTerm(model, training.bag_of_words_weight, token_weights(token_counts)))
    if training.contrastive_weight:
        views = corruption(asdict(training.corruption))
        terms.append(ContrastiveTerm(model, training.contrastive_weight, training.contrastive_temperature, views))
    return ReconstructionObjective(
        model,
        free_bits=config.model.free_bits,
        label_smoothing=training.label_smoothing,
        precision=arithmetic.precision,
        gather=not arithmetic.xla,
        # All ids, bytes too: of a character that no token covers, training would else show none.
        substitution=corruption({"substitute": training.random_token_rate}, first_id=SPECIAL_IDS),
        corruption=corruption(asdict(training.corruption)),
        terms=terms,
        reconstruction_share=training.reconstruction_share,
        sample=_vocabulary_sample(config, token_counts),
    )


def _vocabulary_sample(config: Config, token_counts: np.ndarray) -> VocabularySample | None:
    """Return how training samples the vocabulary; None where it does not."""
    training = config.training
    sampled = training.vocabulary_loss is VocabularyLossKind.sampled
    if training.vocabulary_loss is VocabularyLossKind.auto:
        # Several devices would each have a sample of their own, and label smoothing wants every id.
        fits = config.distributed.mode is Distributed.none and not training.label_smoothing
        sampled = fits and len(token_counts) >= SAMPLED_FROM
    if not sampled:
        return None
    evenly = training.sampling_distribution is SamplingDistribution.uniform
    return VocabularySample(training.sampled_ids, None if evenly else unigram_distribution(token_counts))


def evaluation_model(config: Config, tokenizer: Tokenizer) -> TextAutoencoder:
    """Return a float32 model of the configuration that takes over weights to evaluate them."""
    with isolated(seed=config.training.seed):
        return TextAutoencoder(build(config.model, tokenizer.vocabulary_size), tokenizer, config)
