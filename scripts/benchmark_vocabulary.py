"""What a vocabulary costs in training: the full loss and the sampled one, by time and by accuracy; tables and JSON.

python scripts/benchmark_vocabulary.py --only cost [--vocabularies 8192 32768 131072] [--repeats 7]
python scripts/benchmark_vocabulary.py [CORPUS.txt.xz ...] --only accuracy [--vocabulary 24576] [--minutes 5]

cost       a training step's microseconds for each token. Texts are of 64 random tokens whose frequencies fall as
           1 / (rank + 2.7), Zipf's law as Mandelbrot has it, as those of a language do
accuracy   token accuracy of held-out texts, of the files or of Python's documentation, after equal minutes of training,
           validation not counted, from random weights

Variants take turns: by the round for cost, and by some seconds for accuracy, so that the machine's other work meets all
alike. Ratios are medians over rounds of the ratio within a round.
"""

import argparse
import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from measuring import Batch, TextaeTrainer, rates, ratio, reported, table, taken
from textae.config.choices import Initialization, SamplingDistribution, VocabularyLossKind
from textae.config.schema import Config, ModelConfig, PydocsConfig, TextConfig, TokenizerConfig, TrainingConfig
from textae.data.preparation import Prepared, prepare
from textae.evaluation.evaluator import evaluate
from textae.inference.text_autoencoder import set_weights
from textae.training import schedules
from textae.training.loop import stream
from textae.training.setup import Arithmetic, evaluation_model, token_statistics, training_batches, training_model
from textae.training.state import TrainingState

SECTIONS = ("cost", "accuracy")
SAMPLE_MEGABYTES = 48.0  # of the text that the tokenizer is trained on
TURN_SECONDS = 10.0  # of a variant, before another one's turn
LOSSES = {
    "full": {"vocabulary_loss": VocabularyLossKind.full},
    "sampled": {"vocabulary_loss": VocabularyLossKind.sampled},
    "sampled by unigram": {
        "vocabulary_loss": VocabularyLossKind.sampled,
        "sampling_distribution": SamplingDistribution.unigram,
    },
}


def zipf_batches(vocabulary: int, rows: int, length: int, count: int = 16) -> list[Batch]:
    """Return batches of texts of full length, of random tokens by Zipf's law."""
    shares = 1 / (np.arange(vocabulary - 2) + 2.7)
    below = np.cumsum(shares / shares.sum())
    draw = np.random.default_rng(0)
    ids = 2 + np.searchsorted(below[:-1], draw.random((count, rows, length))).astype("int32")
    return [(tokens, np.full((rows,), length, "int32")) for tokens in ids]


def cost(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Cost of a token against the vocabulary, with each loss."""
    variants: dict[Any, Any] = {}
    for size, loss in itertools.product(options.vocabularies, options.losses):
        trainer = TextaeTrainer(options.model, size, TrainingConfig(**LOSSES[loss], sampled_ids=options.sampled_ids))
        batches = itertools.cycle(zipf_batches(size, options.positions // 64, 64))
        variants[size, loss] = lambda t=trainer, b=batches: t(taken(b, options.steps))
    found = rates(variants, options.repeats)
    first = found[options.vocabularies[0], options.losses[0]]
    rows = [
        {
            "vocabulary": size,
            "loss": loss,
            "microseconds": float(np.median(1e6 / rate)),
            "times the first": ratio(first, rate),
            "times the full loss": ratio(found[size, options.losses[0]], rate),
            "rounds": (1e6 / rate).tolist(),
        }
        for (size, loss), rate in found.items()
    ]
    title = f"A training step of {options.positions} positions, {options.sampled_ids} sampled ids"
    heads = ["vocabulary", "loss", "microseconds for a token", "times the first", "times the first loss"]
    table(title + ".", heads, [list(row.values())[:-1] for row in rows])
    return rows


class Run:
    """A training that can be interrupted: its step, its batches, and how long it has trained."""

    def __init__(self, options: argparse.Namespace, prepared: Prepared, loss: str) -> None:
        self.config = Config(
            model=options.model,
            training=TrainingConfig(
                **LOSSES[loss], sampled_ids=options.sampled_ids, max_steps=None, max_minutes=options.minutes
            ),
        )
        tokenizer, arithmetic = prepared.tokenizer, Arithmetic.of(self.config)
        self.state, self.limit = TrainingState(), 60 * options.minutes
        _, self.step = training_model(
            self.config,
            tokenizer.vocabulary_size,
            tokenizer.first_text_id,
            arithmetic,
            **token_statistics(self.config, prepared.train),
        )
        self.evaluated = evaluation_model(self.config, tokenizer)
        self.groups = stream(training_batches(self.config, prepared, arithmetic), self.state, 1)

    @property
    def over(self) -> bool:
        """Whether its minutes are over."""
        return self.state.seconds >= self.limit

    def train(self, seconds: float) -> None:
        """Train for so long; the first update, for which the step is traced, is not counted."""
        settings, state, start = self.config.training, self.state, time.monotonic()
        while time.monotonic() - start < seconds and not self.over:
            began = time.monotonic()
            rate = schedules.learning_rate(
                self.config.learning_rate,
                settings.schedule.name,
                step=state.step,
                done=state.seconds / self.limit,
                warmup_steps=settings.warmup_steps,
                final_share=settings.final_learning_rate,
            )
            batch = next(self.groups)[0]
            float(self.step([(batch.tokens, batch.lengths)], rate)["loss"])
            if state.step:
                state.seconds += time.monotonic() - began
            state.step += 1
            state.tokens_seen += int(batch.lengths.sum())

    def metrics(self, prepared: Prepared) -> dict[str, float]:
        """Return the metrics of the test split, with the whole softmax."""
        set_weights(self.evaluated.model, self.step.kept_weights(), "the training step")
        return evaluate(self.evaluated, prepared.test_texts()).metrics


def accuracy(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Accuracy of held-out tokens after equal minutes, with each loss."""
    # The default sample of 4 MB has too few words for a large vocabulary.
    tokenizer = TokenizerConfig(vocabulary_size=options.vocabulary, sample_megabytes=SAMPLE_MEGABYTES)
    prepared = prepare(options.data, options.corpus, tokenizer)
    runs = {loss: Run(options, prepared, loss) for loss in options.losses}
    while not all(run.over for run in runs.values()):
        for run in runs.values():
            run.train(TURN_SECONDS)
    rows = []
    for loss, run in runs.items():
        found = run.metrics(prepared)
        row = {"loss": loss, "updates": run.state.step, "tokens": run.state.tokens_seen}
        rows.append(row | {"accuracy": found["token_accuracy"], "nats": found["loss"]})
    title = f"{options.minutes:g} minutes of training each, vocabulary {prepared.tokenizer.vocabulary_size:,}"
    heads = ["loss", "updates", "tokens", "test token accuracy", "test loss"]
    cells = [[*list(row.values())[:3], f"{row['accuracy']:.5f}", f"{row['nats']:.4f}"] for row in rows]
    table(f"{title}, {options.sampled_ids} sampled ids.", heads, cells)
    return rows


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="a corpus, a text per line")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=["full", "sampled"])
    parser.add_argument("--sampled-ids", type=int, default=TrainingConfig().sampled_ids)
    parser.add_argument("--repeats", type=int, default=7, help="rounds of cost")
    parser.add_argument("--steps", type=int, default=1, help="batches of a round")
    parser.add_argument("--positions", type=int, default=TrainingConfig().tokens_per_batch, help="of a batch of cost")
    parser.add_argument("--vocabularies", type=int, nargs="+", default=(8192, 32768, 131072), help="of cost")
    parser.add_argument("--vocabulary", type=int, default=24576, help="of accuracy")
    parser.add_argument("--test-share", type=float, default=PydocsConfig().test_share, help="of the texts, of accuracy")
    # Models that begin orthogonal have nearly all tokens right before the first update.
    parser.add_argument("--initialization", choices=[kind.name for kind in Initialization], default="random")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each training")
    parser.add_argument("--channels", type=int, nargs=2, default=ModelConfig().channels)
    parser.add_argument("--latent-size", type=int, default=ModelConfig().latent_size)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TEXTAE_DATA", "data")))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    options.corpus = PydocsConfig(test_share=options.test_share)
    if options.files:
        files = [str(Path(file).resolve()) for file in options.files]
        options.corpus = TextConfig(files=files, test_share=options.test_share)
    options.model = ModelConfig(
        channels=options.channels,
        latent_size=options.latent_size,
        initialization=Initialization[options.initialization],
    )
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    reported(options.only, {"cost": cost, "accuracy": accuracy}, options, options.json)


if __name__ == "__main__":
    main()
