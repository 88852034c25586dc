"""Where a run stands, as its checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class TrainingState:
    """Where a run stands, besides the arrays that the step holds; kept in the checkpoint as JSON."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # the next one of the epoch
    examples_seen: int = 0
    tokens_seen: int = 0
    skipped: int = 0  # updates that were not finite
    skipped_in_a_row: int = 0
    stopped: str | None = None  # what was not finite
    seconds: float = 0.0
    step_seconds: float = 0.0
    rate: float | None = None  # running mean of the KL divergence in bits per token, with model.target_rate
    kl_integral: float = 0.0  # what the control of the rate has added to the logarithm of the KL weight
    kl_weight: float = 0.0  # of the last update
    best_loss: float | None = None
    best_step: int = 0
    validations_since_best: int = 0
    validation_due: bool = False
    over: bool = False  # no more updates
    unlogged: dict[str, float] = field(default_factory=dict)  # the reporter's sums since its last point
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> TrainingState:
        """Return the state that a checkpoint describes.

        Args:
            values: what it holds, by the names of the fields; may be untrusted.
            where: the run's folder, for messages.

        Raises:
            ValueError: a field is unknown, or a value is of another type.
        """
        if unknown := sorted(set(values) - {f.name for f in fields(cls)}):
            raise ValueError(
                f"expected a checkpoint of this version of textae in {where}, found one that also holds "
                f"{unknown[0]:.100}: the version in environment.json goes on from it"
            )
        for each in fields(cls):
            if each.name in values and not VALID_VALUES[str(each.type)](values[each.name]):
                raise ValueError(
                    f"expected in the checkpoint in {where} {each.name} of type {each.type}, "
                    f"found {values[each.name]!r:.100}"
                )
        return cls(**values)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_count(value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


VALID_VALUES: dict[str, Callable[[Any], bool]] = {  # what a checkpoint may hold, by the type of the state's field
    "int": _is_count,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "bool": lambda value: type(value) is bool,
    "str | None": lambda value: value is None or isinstance(value, str),
    "dict[str, float]": _are_numbers,
    "list[dict[str, float]]": lambda value: isinstance(value, list) and all(map(_are_numbers, value)),
}
