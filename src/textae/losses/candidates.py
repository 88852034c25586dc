"""A sample of the vocabulary that stands for all of it in the softmax: the batch's own ids, and some that are drawn.

The ids of the batch count as they are. Of the others some are drawn, and each stands for so many of them that the
softmax's denominator is right in the mean: importance sampling, as in Bengio and Senécal (2008, "Adaptive importance
sampling to accelerate training of a neural probabilistic language model"), with the batch's ids exact. The ids are
drawn without replacement, so with as many as there are, the loss is that of the whole vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops, random

MULTIPLE = 256  # ids of a batch are padded to one of, where shapes depend on the data: products are made ready for each


class Candidates(NamedTuple):
    """What stands for the vocabulary.

    Attributes:
        ids: (candidates,) int32.
        weights: (candidates,) float32, how many ids each stands for; 0 for one that is there to fill the shape.
        targets: (rows,) int32, where among the candidates each row's target is.
    """

    ids: Any
    weights: Any
    targets: Any


def unigram_distribution(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Return float32 (vocabulary,), a distribution by frequencies to a power, as word2vec's (arXiv 1310.4546).

    Args:
        counts: (vocabulary,), how often each id occurs; one that does not counts as occurring once.
        power: of the frequencies.
    """
    weights = np.maximum(counts, 1.0) ** power
    return (weights / weights.sum()).astype(np.float32)


def draw_candidates(
    targets: Any, vocabulary_size: int, drawn: int, seed: Any, distribution: Any = None, fixed_shape: bool = True
) -> Candidates:
    """Return the ids of the targets and some others.

    With a distribution the others come by priority sampling (Duffield, Lund and Thorup, JACM 2007): an id's priority is
    its probability over a uniform number, the highest priorities are taken, and the weight of each is 1 over the
    probability that it is above the highest one left out.

    Args:
        targets: (rows,) int32 ids.
        vocabulary_size: ids.
        drawn: how many others, at least one.
        seed: Keras's, of the random numbers.
        distribution: (vocabulary,), by which the others are drawn; None: evenly.
        fixed_shape: whether the number of candidates depends on that of the rows alone, not on the targets.
    """
    drawn = min(drawn, vocabulary_size)
    present = ops.scatter_update(
        ops.zeros((vocabulary_size,), "int32"), targets[:, None], ops.ones_like(ops.cast(targets, "int32"))
    )
    place = ops.cumsum(present) - 1
    own_ids, own_weights = _own(targets, present, place, fixed_shape)
    uniform = 1.0 - random.uniform((vocabulary_size,), seed=seed)  # in (0, 1]
    priorities = 1.0 / uniform if distribution is None else distribution / uniform
    priorities = ops.where(present > 0, -1.0, priorities)
    highest, ids = ops.top_k(priorities, min(drawn + 1, vocabulary_size))
    left_out = highest[drawn] if drawn < vocabulary_size else ops.convert_to_tensor(-1.0, "float32")
    highest, ids = highest[:drawn], ops.cast(ids[:drawn], "int32")
    if distribution is None:
        absent = ops.cast(vocabulary_size - ops.sum(present), "float32")
        weights = ops.maximum(absent / drawn, 1.0) * ops.ones_like(highest)
    else:
        weights = ops.maximum(left_out / ops.take(distribution, ids), 1.0)
    weights = ops.where(highest > 0, weights, 0.0)  # of the batch's own ids, where there are too few others
    return Candidates(
        ops.concatenate([own_ids, ids]), ops.concatenate([own_weights, weights]), ops.take(place, targets)
    )


def _own(targets: Any, present: Any, place: Any, fixed_shape: bool) -> tuple[Any, Any]:
    """Return the ids of the targets in their order, padded with id 0, and weights: 1, and 0 of the padding."""
    vocabulary_size = present.shape[0]
    if fixed_shape:
        room = min(targets.shape[0], vocabulary_size)
    else:
        needed = ops.sum(present)
        room = (needed + (MULTIPLE - 1)) // MULTIPLE * MULTIPLE
    at = ops.where(present > 0, place, room)  # the last one is for all that are absent, and left out
    ids = ops.zeros((room + 1,), "int32")
    ids = ops.scatter_update(ids, at[:, None], ops.arange(vocabulary_size, dtype="int32"))[:room]
    return ids, ops.cast(ops.arange(room) < ops.sum(present), "float32")
