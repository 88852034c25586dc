"""What a Python program does while a model is trained, and how it ends the training early."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textae.inference.text_autoencoder import TextAutoencoder


@dataclass
class TrainingProgress:
    """Where a training stands.

    Attributes:
        step: updates that were made.
        share: of the training that is done, from 0 to 1.
        loss: of the last update, nats per token; None where it was not finite.
        token_accuracy: of the last update's texts.
        learning_rate: of the last update.
        seconds: that the training took, validations included.
        examples_seen: texts.
    """

    step: int = 0
    share: float = 0.0
    loss: float | None = None
    token_accuracy: float | None = None
    learning_rate: float = 0.0
    seconds: float = 0.0
    examples_seen: int = 0
    stopped: bool = field(default=False, init=False)

    def stop(self) -> None:
        """End the training: the weights are validated, and the best ones evaluated, as at the end of any training."""
        self.stopped = True


class Callback:
    """A subclass does something at one or more of these moments; each method does nothing by itself."""

    def on_step(self, progress: TrainingProgress) -> None:
        """Do something after an update."""

    def on_validation(self, progress: TrainingProgress, metrics: Mapping[str, Any]) -> None:
        """Do something after a validation; `metrics` are those of the validation split, by name."""

    def on_end(self, autoencoder: TextAutoencoder, metrics: Mapping[str, Any]) -> None:
        """Do something when all is done; `metrics` are those of metrics.json, of the weights that were kept."""


MOMENTS = ("on_step", "on_validation", "on_end")


class Callbacks:
    """Several callbacks, called one after the other; none of them needs all methods.

    Raises:
        TypeError: one has none of the methods, or `callbacks` is no list of them.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        if not isinstance(callbacks, Iterable) or isinstance(callbacks, str | Mapping):
            raise TypeError(f"expected callbacks as a list, received {type(callbacks).__name__}")
        self._all: Sequence[Any] = list(callbacks)
        for index, callback in enumerate(self._all):
            if isinstance(callback, type) or not any(callable(getattr(callback, name, None)) for name in MOMENTS):
                found = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
                raise TypeError(
                    f"expected callbacks[{index}] as an object with {' or '.join(MOMENTS)}, received {found}"
                )
        self.progress = TrainingProgress()

    def on_step(self) -> None:
        """Tell of an update."""
        self._tell("on_step", self.progress)

    def on_validation(self, metrics: Mapping[str, Any]) -> None:
        """Tell of a validation."""
        self._tell("on_validation", self.progress, dict(metrics))

    def on_end(self, autoencoder: TextAutoencoder, metrics: Mapping[str, Any]) -> None:
        """Tell of the end."""
        self._tell("on_end", autoencoder, dict(metrics))

    def _tell(self, moment: str, *arguments: Any) -> None:
        for callback in self._all:
            if (method := getattr(callback, moment, None)) is not None:
                method(*arguments)
