"""What a run takes over from another one that it begins with: the tokenizer and the weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textae.config.mapping import from_mapping
from textae.config.schema import Config
from textae.data.tokenizers import Tokenizer, load_tokenizer
from textae.models.shapes import check_shapes, weight_shapes
from textae.runs.finding import find_run
from textae.runs.run_folder import CONFIG, TOKENIZER, WEIGHTS, RunDir

_TIED, _OWN = "encoder/embedding/embeddings", "output_embedding/embeddings"  # tables of the output layer


@dataclass(frozen=True)
class InitialRun:
    """The tokenizer of a trained run, and the weights that it kept, by name."""

    tokenizer: Tokenizer
    weights: dict[str, np.ndarray]


def read_initial_run(config: Config) -> InitialRun | None:
    """Return what the run that `training.initial_run` names has; None where none is named.

    The folder may be untrusted, as that of `textae.load`. If its output layer shares the weights of the input embedding
    and this configuration's does not, both begin with them.

    Raises:
        ValueError: the folder is not a run's, or its tokenizer's settings or its weights do not fit.
    """
    named = config.training.initial_run
    if named is None:
        return None
    try:
        run = RunDir(find_run(named))
        own = from_mapping(run.config())
    except (ValueError, OSError) as error:
        raise ValueError(f"training.initial_run: {error}") from error
    for key in ("kind", "number_normalization"):
        expected, received = getattr(own.tokenizer, key).name, getattr(config.tokenizer, key).name
        if expected != received:
            raise ValueError(
                f"expected tokenizer.{key}={expected}, which training.initial_run={named} has, received {received}"
            )
    tokenizer = load_tokenizer(run / TOKENIZER)
    shapes_of_run = weight_shapes(own.model, tokenizer.vocabulary_size)
    weights = run.weights(WEIGHTS, lambda found: check_shapes(shapes_of_run, found, run / WEIGHTS))
    if own.model.tie_embeddings and not config.model.tie_embeddings:
        weights[_OWN] = weights[_TIED]
    own_shapes = weight_shapes(config.model, tokenizer.vocabulary_size)
    shapes = {name: tuple(array.shape) for name, array in weights.items()}
    if own_shapes != shapes:
        odd = next(
            name for name in sorted(own_shapes.keys() | shapes.keys()) if own_shapes.get(name) != shapes.get(name)
        )
        raise ValueError(
            f"expected the model of training.initial_run={named} ({run / CONFIG}), received one whose {odd} "
            f"has shape {own_shapes.get(odd)} instead of {shapes.get(odd)}"
        )
    return InitialRun(tokenizer, weights)
