"""A transformer of scikit-learn: texts to vectors, and vectors to texts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from textae.api.fitting import fit
from textae.data.inputs import texts_of


class TextEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Texts to vectors by an autoencoder that `fit` trains on them; no labels are needed.

    Prepared text and run folder lie in a temporary folder, and are gone afterwards: the fitted estimator holds all that
    it needs, and can be pickled.

    ```python
    model = make_pipeline(TextEncoder(max_steps=200), LogisticRegression(max_iter=1000))
    cross_val_score(model, texts, labels)
    GridSearchCV(model, {"textencoder__latent_size": [64, 256]})
    ```

    Args:
        experiment: the name of a file in configs/experiment; "embedding" trains vectors for classifiers and neighbours.
            None: `overrides` alone.
        latent_size: dimensions of the vectors; None: that of the experiment.
        max_steps: updates; None: what the experiment says.
        max_minutes: minutes of training; None: what the experiment says.
        random_state: seed of the training, an int.
        overrides: further settings by dotted names, as {"training.learning_rate": 0.001}.
        verbose: whether a terminal or a notebook shows a bar.

    Attributes:
        autoencoder_: the trained `textae.TextAutoencoder`.
        metrics_: its metrics on held-out texts.
        n_features_in_: not set: texts are no features.
    """

    def __init__(
        self,
        experiment: str | None = "embedding",
        *,
        latent_size: int | None = None,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        random_state: int = 0,
        overrides: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.experiment, self.latent_size = experiment, latent_size
        self.max_steps, self.max_minutes, self.random_state = max_steps, max_minutes, random_state
        self.overrides, self.verbose = overrides, verbose

    def fit(self, X: Iterable[str], y: Any = None) -> Self:  # noqa: N803
        """Train on texts.

        Args:
            X: a list, an array or a column of strings.
            y: nothing.

        Raises:
            TypeError, ValueError: as of `textae.fit`.
        """
        texts = self._texts(X)
        if not texts:
            raise ValueError("expected X with at least one text, received none")
        settings = {
            "model.latent_size": self.latent_size,
            "training.max_steps": self.max_steps,
            "training.max_minutes": self.max_minutes,
        }
        given = {key: value for key, value in settings.items() if value is not None}
        given |= {"training.seed": self.random_state, **(self.overrides or {})}
        with tempfile.TemporaryDirectory(prefix="textae_") as folder:
            self.autoencoder_ = fit(
                texts,
                experiment=self.experiment,
                output=Path(folder) / "run",
                verbose=self.verbose,
                **{"data_dir": str(Path(folder) / "data")} | given,
            )
        self.metrics_ = self.autoencoder_.metrics
        return self

    def transform(self, X: Iterable[str]) -> np.ndarray:  # noqa: N803
        """Return float32 (texts, latent_size): the vector of each text, the mean of its latents if it has several."""
        check_is_fitted(self)
        return self.autoencoder_.embed(self._texts(X))

    def inverse_transform(self, X: Any) -> list[str]:  # noqa: N803
        """Return the texts that vectors (texts, latent_size) stand for.

        Raises:
            ValueError: a text has several latents, whose mean cannot be decoded; or vectors of another size.
        """
        check_is_fitted(self)
        vectors = np.asarray(X, np.float32)
        if self.autoencoder_.model.latent != "vector":
            raise ValueError(
                "expected an experiment with model.latent=vector to decode vectors, received one with a latent for "
                f"every {self.autoencoder_.model.stride} tokens"
            )
        size = self.autoencoder_.model.latent_size
        if vectors.ndim != 2 or vectors.shape[1] != size:
            raise ValueError(f"expected X of shape (texts, {size}), received {vectors.shape}")
        return self.autoencoder_.decode(list(vectors if self.autoencoder_.codec.single else vectors[:, None]))

    def _texts(self, texts: Iterable[str]) -> list[str]:
        """Return texts as a list; a single column (texts, 1) counts as one of texts."""
        if getattr(texts, "ndim", 1) == 2 and getattr(texts, "shape", (0, 0))[1] == 1:
            texts = np.asarray(texts)[:, 0]
        return texts_of(texts, "X")

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.model.latent_size

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: the input is a list of strings."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.no_validation = True
        return tags
