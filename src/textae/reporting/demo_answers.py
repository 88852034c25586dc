"""What the demo page answers: inputs of its controls to HTML. Nothing here knows Gradio."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from textae.config.checks import MOST_BITS
from textae.data.lines import lines
from textae.evaluation.anomaly_baselines import baseline_detectors
from textae.evaluation.curves import FLOAT32
from textae.evaluation.single_text import LatentChannel, single_text
from textae.evaluation.vector_baselines import BagOfWords, nearest_by
from textae.inference.anomalies import Detector, oddest_first, scored_lines
from textae.inference.latent_operations import Neighbour
from textae.inference.text_autoencoder import TextAutoencoder
from textae.reporting.demo_views import (
    anomalies_view,
    interpolation_view,
    latent_view,
    neighbours_view,
    reconstruction_view,
)

MOST_LINES = 20_000


class DemoAnswers:
    """Answers with a trained run.

    Args:
        autoencoder: the run.
        channel: noise and bits; None: there is neither, as the corpus is not there.
        train: gives the texts of the train split, which the baselines of anomalies are fitted to; None: no baselines.
    """

    def __init__(
        self,
        autoencoder: TextAutoencoder,
        channel: LatentChannel | None = None,
        train: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.autoencoder, self.channel, self.train = autoencoder, channel, train
        self._fitted: dict[str, Detector] | None = None

    def reconstruction(self, text: str, noise_level: float, bits: float, seed: float) -> tuple[str, str]:
        """Return a text's reconstruction and its latents; more than 16 bits stand for float32.

        Raises:
            ValueError: no Unicode text, a seed below 0, or another level.
        """
        if seed is None or seed < 0:
            raise ValueError(f"expected a seed of at least 0, received {seed}")
        ae, bits = self.autoencoder, FLOAT32 if bits > MOST_BITS else int(bits)
        found = single_text(ae, text, self.channel, noise_level, bits, int(seed))
        vector = ae.model.latent == "vector"
        return (
            reconstruction_view(found, ae.tokenizer),
            latent_view(found, ae.tokenizer, ae.model.stride, vector),
        )

    def interpolation(self, first: str, last: str, steps: float) -> str:
        """Return the texts between two others.

        Raises:
            ValueError: no Unicode text, or fewer than two steps.
        """
        return interpolation_view(self.autoencoder.interpolate(first, last, int(steps)))

    def neighbours(self, text: str, pasted: str, file: str | None, count: float, baseline: bool) -> str:
        """Return the documents nearest to a text, a line each, if asked also those by a bag of words.

        Raises:
            ValueError: no documents, too many, or no Unicode text.
        """
        documents = lines_of(pasted, file)
        found: dict[str, list[Neighbour]] = {"latents": self.autoencoder.neighbours([text], documents, int(count))[0]}
        if baseline:
            found["bag_of_words"] = nearest_by(BagOfWords(), documents, int(count))([text])[0]
        return neighbours_view(found)

    def anomalies(self, pasted: str, file: str | None, baseline: bool) -> str:
        """Return the lines of a log with their scores, anomalies first, if asked with the scores of baselines.

        Raises:
            ValueError: no lines, too many, no Unicode text, or baselines without a corpus.
        """
        log = lines_of(pasted, file)
        detectors: dict[str, Detector] = {"score": self.autoencoder.score}
        if baseline:
            detectors |= self._baselines()
        return anomalies_view(oddest_first(scored_lines(log, detectors.values())), list(detectors))

    def _baselines(self) -> dict[str, Detector]:
        """Return the baselines, fitted when they are first asked for."""
        if self._fitted is None:
            if self.train is None:
                raise ValueError("expected the corpus of the run, to fit baselines to, found none")
            self._fitted = baseline_detectors(self.autoencoder.tokenizer, self.train())
        return self._fitted


def lines_of(pasted: str, file: str | None) -> list[str]:
    """Return the lines of a text or of a file, which may be compressed.

    Raises:
        ValueError: there are none, more than `MOST_LINES`, or both text and file; bytes that are not UTF-8.
    """
    if bool(pasted) == bool(file):
        raise ValueError(f"expected lines that are pasted or a file, found {'both' if file else 'neither'}")
    with Path(file).open("rb") if file else io.BytesIO(pasted.encode("utf-8", "surrogatepass")) as stream:
        found = list(islice(lines(stream, "the file" if file else "the text"), MOST_LINES + 1))
    if not 0 < len(found) <= MOST_LINES:
        raise ValueError(
            f"expected 1 to {MOST_LINES:,} lines, found {'more' if found else 'none'}; commands take any number"
        )
    return found
