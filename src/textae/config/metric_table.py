"""The metrics: one table that the configuration, evaluation, reports, TensorBoard and docs/metrics.md read.

docs/metrics.md holds it too, written by `python scripts/write_metrics.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Group = Literal["quality", "data", "training"]
Chart = Literal["quality", "quality_details", "training", "latent", "speed", "run"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of metrics.json.

    Attributes:
        name: its key there, in tables and in TensorBoard.
        meaning: what it is, as documentation and model cards describe it.
        unit: its unit or range; "" for a plain number.
        direction: which values are better; None: runs are not sorted or searched by it.
        format: of values that are not whole, as in format strings.
        group: "quality" of reconstructions, size of the "data", or cost of the "training".
        chart: the group of TensorBoard's charts that it belongs to; those of the group "run" are known at the end only.
        card: whether the model card shows it.
        column: whether the table of runs shows it.
        corrupted: whether a run trained with corruption has it for corrupted input too, as `corrupted_NAME`.
        runs: which runs have it: "all", the "noisy" (variational, or with `model.latent_noise`), the "variational",
            or those with `model.bag_of_words`.
    """

    name: str
    meaning: str
    unit: str = ""
    direction: Literal["minimize", "maximize"] | None = None
    format: str = ".4g"
    group: Group = "quality"
    chart: Chart = "quality_details"
    card: bool = False
    column: bool = False
    corrupted: bool = False
    runs: Literal["all", "noisy", "variational", "bag_of_words"] = "all"

    def shown(self, value: Any) -> str:
        """Return a value as text."""
        if value is None:
            return "not finite"
        return f"{value:,}" if isinstance(value, int) else f"{value:{self.format}}"


METRICS = (
    Metric(name="loss", meaning="mean cross-entropy of the tokens that were encoded", unit="nats per token",
           direction="minimize", card=True, column=True, corrupted=True, chart="quality"),
    Metric(name="token_accuracy", meaning="share of tokens that are reconstructed at their position; tokens that "
           "`overflow=truncate` leaves out count as wrong", unit="0 to 1", direction="maximize", card=True,
           column=True, corrupted=True, chart="quality"),
    Metric(name="exact_match", meaning="share of documents that are reconstructed character by character",
           unit="0 to 1", direction="maximize", card=True, column=True, corrupted=True),
    Metric(name="bleu", meaning="sacreBLEU's corpus BLEU of the decoded texts; its tokenizer is `13a`, for Chinese "
           "`zh`, and `char` for other scripts without spaces between words", unit="0 to 100", direction="maximize",
           card=True, column=True, corrupted=True),
    *(Metric(name=f"sentence_bleu{n}", meaning=f"mean over documents of BLEU-{n} on words between white space, "
             "without smoothing", unit="0 to 1", direction="maximize") for n in (2, 3, 4)),
    *(Metric(name=f"rouge{n}", meaning=f"mean over documents of the F1 of ROUGE-{n}", unit="0 to 1",
             direction="maximize") for n in (1, 2)),
    Metric(name="cer", meaning="character error rate: edit distance over the length of the originals",
           unit="0 or more", direction="minimize", card=True, column=True, corrupted=True),
    Metric(name="wer", meaning="word error rate: edit distance in words over the words of the originals",
           unit="0 or more", direction="minimize", card=True, corrupted=True),
    Metric(name="cer_before", meaning="with corruption: `cer` of the corrupted texts themselves", unit="0 or more",
           corrupted=True),
    Metric(name="noisy_loss", meaning="`loss` of latents with the noise of training: drawn from the posterior of a "
           "variational model, with `model.latent_noise`", unit="nats per token", direction="minimize", runs="noisy"),
    Metric(name="noisy_token_accuracy", meaning="`token_accuracy` of latents with that noise", unit="0 to 1",
           direction="maximize", card=True, runs="noisy"),
    Metric(name="noisy_exact_match", meaning="share of documents whose tokens are all right with that noise",
           unit="0 to 1", direction="maximize", runs="noisy"),
    Metric(name="kl", meaning="of variational models: divergence of the posteriors from N(0, I)",
           unit="nats per document", card=True, runs="variational", chart="latent"),
    Metric(name="elbo", meaning="evidence lower bound: minus `noisy_loss` and `kl` of a document; the number of its "
           "latent positions is taken as known", unit="nats per document", direction="maximize", runs="variational",
           chart="latent"),
    Metric(name="nll", meaning="importance-weighted negative log-likelihood, with `importance_samples`",
           unit="nats per document", runs="variational", chart="latent"),
    Metric(name="mutual_information", meaning="mutual information of texts and latents, estimated from 1,000 latents: "
           "6.9 at most", unit="nats per latent", runs="variational", chart="latent"),
    Metric(name="posterior_mean_deviation", meaning="standard deviation of the posteriors' means", runs="variational",
           chart="latent"),
    Metric(name="aggregate_mean", meaning="root mean square of the dimensions' means", runs="variational",
           chart="latent"),
    Metric(name="aggregate_variance", meaning="variance of latents drawn from the posteriors; 1 for N(0, I)",
           runs="variational", chart="latent"),
    Metric(name="mmd", meaning="squared maximum mean discrepancy of drawn latents and N(0, I)",
           runs="variational", chart="latent"),
    Metric(name="length_accuracy", meaning="share of documents that are reconstructed with their own number of tokens",
           unit="0 to 1", direction="maximize", corrupted=True),
    Metric(name="bag_of_words_loss", meaning="with `model.bag_of_words`: mean cross-entropy of a text's tokens, "
           "predicted from its vector whatever their order", unit="nats per token", direction="minimize",
           runs="bag_of_words"),
    Metric(name="random_token_accuracy", meaning="token accuracy on random ids of text", unit="0 to 1"),
    Metric(name="active_units", meaning="dimensions of the latent that vary", unit="dimensions", chart="latent"),
    Metric(name="rate", meaning="bits that the latents carry: `kl` divided by the tokens that were encoded; with "
           "latent noise and not variational, the capacity that it leaves", unit="bits per token", card=True,
           runs="noisy", chart="latent"),
    Metric(name="latent_floats_per_token", meaning="floats of all latents divided by the tokens that were encoded",
           unit="floats per token", direction="minimize", group="data", card=True, column=True, chart="run"),
    Metric(name="documents", meaning="documents that were evaluated", unit="documents", group="data",
           card=True, chart="run"),
    Metric(name="documents_truncated", meaning="of them, those that were truncated to `model.max_length`",
           unit="documents", group="data", chart="run"),
    Metric(name="documents_dropped", meaning="documents that were left out as too long", unit="documents",
           group="data", chart="run"),
    Metric(name="tokens", meaning="tokens of the documents, the end of each counted", unit="tokens", group="data",
           card=True, chart="run"),
    Metric(name="parameters", meaning="parameters of the model", unit="parameters", direction="minimize",
           group="training", column=True, chart="run"),
    Metric(name="examples_seen", meaning="documents and segments trained on, with repetitions", unit="examples",
           group="training", chart="run"),
    Metric(name="steps", meaning="updates of the weights", unit="updates", group="training", column=True, chart="run"),
    Metric(name="steps_skipped", meaning="updates that were skipped as not finite", unit="updates", group="training",
           chart="training"),
    Metric(name="train_seconds", meaning="time of training, with validations", unit="seconds", direction="minimize",
           group="training", column=True, chart="speed"),
    Metric(name="tokens_per_second", meaning="tokens trained on in a second of updates, padding not counted",
           unit="tokens per second", direction="maximize", group="training", column=True, chart="speed"),
    Metric(name="peak_memory_mb", meaning="the most memory that the training process held", unit="MB of 10^6 bytes",
           direction="minimize", group="training", chart="speed"),
)  # fmt: skip

CHARTS: dict[str, str] = {metric.name: metric.chart for metric in METRICS}
"""The group of charts of each metric."""

DIRECTIONS = {metric.name: metric.direction for metric in METRICS if metric.direction is not None}
"""The metrics by which runs can be sorted and searched, and which way is better."""


def names(**values: Any) -> tuple[str, ...]:
    """Return the names of the metrics whose attributes have these values, such as `card=True`, in the table's order."""
    return tuple(m.name for m in METRICS if all(getattr(m, name) == value for name, value in values.items()))


def markdown() -> str:
    """Return the table for documentation, in Markdown."""
    better = {"minimize": "lower", "maximize": "higher", None: ""}
    rows = [f"| `{m.name}` | {m.meaning} | {m.unit} | {better[m.direction]} |" for m in METRICS]
    return "\n".join(["| metric | meaning | unit or range | better |", "| --- | --- | --- | --- |", *rows]) + "\n"
