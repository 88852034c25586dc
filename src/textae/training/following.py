"""What process 0 has the other processes do: the same updates on their own rows, and a share of each evaluation.

Process 0 alone decides: when the training ends, which learning rate an update has, which weights are kept. So the
others need no clock, no run folder and no signals of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textae.config.schema import Config
from textae.data.corpora import Corpus
from textae.data.preparation import Prepared
from textae.inference.codec import Codec, Reconstructed
from textae.inference.text_autoencoder import TextAutoencoder, set_weights
from textae.progress import shown
from textae.training.initial_run import read_initial_run
from textae.training.loop import stream
from textae.training.processes import Processes
from textae.training.setup import (
    Arithmetic,
    evaluation_model,
    prepared_corpus,
    token_statistics,
    training_batches,
    training_model,
)
from textae.training.state import TrainingState
from textae.training.steps import Arrays, TrainingStep


class LeadingStep:
    """The training step of process 0, which the others make with it."""

    def __init__(self, step: TrainingStep, processes: Processes) -> None:
        self.step, self.processes = step, processes

    def __call__(self, batches: list[Arrays], learning_rate: float, kl_weight: float = 0.0) -> dict[str, Any]:
        """Make one update; see `TrainingStep`."""
        self.processes.tell("step", learning_rate=learning_rate, kl_weight=kl_weight)
        return self.step(batches, learning_rate, kl_weight)

    def kept_weights(self) -> dict[str, np.ndarray]:
        """Return the weights that are evaluated and kept, by their names."""
        return self.step.kept_weights()

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next step depends on, by name."""
        return self.step.state()

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        self.step.load_state(state)


class SharedCodec(Codec):
    """The codec of process 0, whose documents all processes reconstruct: document i is that of process i % processes.

    Corrupted documents it reconstructs alone, as their random numbers follow on one another.
    """

    def __init__(self, codec: Codec, processes: Processes) -> None:
        super().__init__(codec.model, codec.overflow, codec.latent_noise, tokens_per_batch=codec.tokens_per_batch)
        self.processes = processes

    def weights_changed(self) -> None:
        """Give the others the model's weights."""
        named = self.model.named_weights()
        self.processes.tell("weights", {name: np.asarray(weight.value) for name, weight in named.items()})

    def reconstruct(
        self,
        documents: Sequence[np.ndarray],
        corruption: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        latents: Sequence[np.ndarray] | None = None,
    ) -> list[Reconstructed | None]:
        """Encode and decode documents and compare; see `Codec`."""
        if corruption is not None:
            return super().reconstruct(documents, corruption, latents)
        count = self.processes.count
        shares = [(documents[k::count], None if latents is None else latents[k::count]) for k in range(count)]
        self.processes.tell_each("reconstruct", [_request(*share) for share in shares[1:]])
        found: list[Reconstructed | None] = [None] * len(documents)
        found[::count] = super().reconstruct(shares[0][0], latents=shares[0][1])
        for k, answer in enumerate(self.processes.hear_each(), 1):
            found[k::count] = _answered(answer.arrays)
        return found


def lead(
    processes: Processes, step: TrainingStep, evaluated: TextAutoencoder, state: TrainingState, prepared: Prepared
) -> TrainingStep:
    """Have the others begin where process 0 stands, and return the step that all make; `evaluated` is shared out."""
    if processes.alone:
        return step
    values = {"epoch": state.epoch, "batch": state.batch, "data": _fingerprint(prepared)}
    processes.tell("state", step.state(), remedy=processes.remedy, **values)
    evaluated.codec = SharedCodec(evaluated.codec, processes)
    return LeadingStep(step, processes)


def follow(config: Config, processes: Processes, corpus: Corpus | None) -> dict[str, Any]:
    """Do what process 0 says, to the end, and return what it returns.

    Raises:
        ValueError: this process has other documents, or another tokenizer.
        ProcessEnded: another process ended the training.
    """
    message = processes.hear()
    if message.kind == "finished":
        return message.values["metrics"]
    with shown(False):
        arithmetic = Arithmetic.of(config)
        initial = read_initial_run(config)
        prepared = prepared_corpus(config, corpus, None if initial is None else initial.tokenizer)
        tokenizer = prepared.tokenizer
        batches = training_batches(config, prepared, arithmetic)
        _, step = training_model(  # whose weights are those of process 0
            config,
            tokenizer.vocabulary_size,
            tokenizer.first_text_id,
            arithmetic,
            initial=None,
            goes_on=True,
            **token_statistics(config, prepared.train, True),
        )
        evaluated = evaluation_model(config, tokenizer)
        message = processes.hear()
        if (found := _fingerprint(prepared)) != message.values["data"]:
            raise ValueError(
                f"expected the documents and the tokenizer of process 0 ({message.values['data']}), found {found}"
            )
        processes.remedy = message.values["remedy"]
        step.load_state(message.arrays)
        state = TrainingState(epoch=message.values["epoch"], batch=message.values["batch"])
        groups = stream(batches, state, config.training.gradient_accumulation_steps)
        while (message := processes.hear()).kind != "finished":
            if message.kind == "step":
                step([(batch.tokens, batch.lengths) for batch in next(groups)], **message.values)
            elif message.kind == "weights":
                set_weights(evaluated.model, message.arrays, "process 0")
            elif message.kind == "reconstruct":
                documents, latents = _requested(message.arrays)
                processes.tell("reconstructed", _answer(evaluated.codec.reconstruct(documents, latents=latents)))
    return message.values["metrics"]


def _fingerprint(prepared: Prepared) -> str:
    """Return what differs where processes train on different data."""
    return f"{prepared.corpus.fingerprint} {prepared.tokenizer.fingerprint} {prepared.train.tokens}"


def _request(documents: Sequence[np.ndarray], latents: Sequence[np.ndarray] | None) -> dict[str, np.ndarray]:
    return _joined("documents", documents) | ({} if latents is None else _joined("latents", latents))


def _requested(arrays: dict[str, np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    return _split("documents", arrays) or [], _split("latents", arrays)


_PARTS = ("ids", "correct", "token_losses", "latents", "log_variances")


def _answer(found: Sequence[Reconstructed | None]) -> dict[str, np.ndarray]:
    """Return reconstructions as arrays."""
    kept = [document for document in found if document is not None]
    arrays = {"kept": np.array([document is not None for document in found], bool)}
    for name in _PARTS:
        parts = [part for document in kept if (part := getattr(document, name)) is not None]
        if parts:
            arrays |= _joined(name, parts)
    return arrays


def _answered(arrays: dict[str, np.ndarray]) -> list[Reconstructed | None]:
    """Return the reconstructions that `_answer` made arrays of."""
    parts = {name: found for name in _PARTS if (found := _split(name, arrays)) is not None}
    each = (Reconstructed(**dict(zip(parts, values, strict=True))) for values in zip(*parts.values(), strict=True))
    return [next(each) if kept else None for kept in arrays["kept"]]


def _joined(name: str, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays that differ in their first dimension as one, with their sizes."""
    sizes = np.array([len(array) for array in arrays], np.int64)
    return {f"{name}.sizes": sizes, name: np.concatenate(list(arrays)) if len(arrays) else np.zeros(0, np.int32)}


def _split(name: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """Return the arrays that `_joined` made one of; None where there are none of that name."""
    if name not in arrays:
        return None
    return np.split(arrays[name], np.cumsum(arrays[f"{name}.sizes"])[:-1]) if len(arrays[f"{name}.sizes"]) else []
