"""The recurrent autoencoder that people train on sentences, given the same minutes on the same machine as textae.

python scripts/benchmark_sentences.py yelp.train.txt yelp.test.txt --minutes 30 --run outputs/sentence_vector/DATE_TIME

One sentence a line, words between spaces. The model and its settings are those that text-autoencoders
(https://github.com/shentianxiao/text-autoencoders; Shen et al., arXiv 1905.12777) has by default, for its plain
autoencoder: the 10,000 most frequent words, embeddings of 512, a bidirectional LSTM of 1,024 to a vector of 128
numbers, which is added to each input of an LSTM of 1,024, dropout .5, Adam with rate .0005 and beta_1 .5, batches of
256 sentences of the same length. Sentences are written greedily. Here the vector is the mean itself, without noise.

Prints every few minutes reconstructions of the first test sentences, and at the end the metrics of the whole test
file, those that `python -m textae.evaluate` prints; with `--run` those of a run of textae beside them.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from textae.evaluation.metrics import TextMetrics

GO, END, UNKNOWN = range(3)
WORDS, EMBEDDING, HIDDEN, LATENT, DROPOUT, BATCH = 10_000, 512, 1024, 128, 0.5, 256
FIGURES = ("bleu", "exact_match", "cer", "wer")


class RecurrentSentences(nn.Module):
    """(batch, length) word ids -> (batch, 128) -> logits of each word, given the vector and the words before it."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING)
        self.encoder = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True)
        self.to_latent = nn.Linear(2 * HIDDEN, LATENT)
        self.from_latent = nn.Linear(LATENT, EMBEDDING)
        self.decoder = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, words)
        self.dropout = nn.Dropout(DROPOUT)
        for weight in (self.embedding.weight, self.output.weight):
            nn.init.uniform_(weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def encode(self, ids: torch.Tensor) -> torch.Tensor:
        """Return latents (batch, 128); all rows are of the same length."""
        _, (state, _) = self.encoder(self.dropout(self.embedding(ids)))
        return self.to_latent(torch.cat([state[0], state[1]], 1))

    def decode(self, latents: torch.Tensor, ids: torch.Tensor, state: tuple | None = None) -> tuple:
        """Return logits (batch, length, words) of what follows each id, and the state."""
        inputs = self.dropout(self.embedding(ids)) + self.from_latent(latents)[:, None]
        outputs, state = self.decoder(inputs, state)
        return self.output(self.dropout(outputs)), state

    def loss(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of the words and the end, summed over a sentence and averaged over sentences."""
        go, end = torch.full((len(ids), 1), GO), torch.full((len(ids), 1), END)
        logits, _ = self.decode(self.encode(ids), torch.cat([go, ids], 1))
        targets = torch.cat([ids, end], 1)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / len(ids)

    @torch.inference_mode()
    def reconstruct(self, ids: torch.Tensor, most: int) -> list[list[int]]:
        """Return the ids written for each row up to the end, at most so many."""
        latents, current, state = self.encode(ids), torch.full((len(ids), 1), GO), None
        written = []
        for _ in range(most):
            logits, state = self.decode(latents, current, state)
            current = logits.argmax(-1)
            written.append(current)
        rows = torch.cat(written, 1).tolist()
        return [row[: row.index(END)] if END in row else row for row in rows]


def by_length(sentences: list[list[int]]) -> list[list[int]]:
    """Return batches as numbers of sentences, those of a batch of the same length."""
    groups: dict[int, list[int]] = {}
    for i, sentence in enumerate(sentences):
        groups.setdefault(len(sentence), []).append(i)
    return [
        numbers[first : first + BATCH]
        for length, numbers in groups.items()
        if length
        for first in range(0, len(numbers), BATCH)
    ]


def figures(model: RecurrentSentences, texts: list[str], known: dict[str, int], words: list[str]) -> dict[str, float]:
    """Return textae's metrics of the reconstructed texts."""
    model.eval()
    ids = [[known.get(word, UNKNOWN) for word in text.split()] for text in texts]
    answers = [""] * len(texts)
    for numbers in by_length(ids):
        batch = torch.tensor([ids[i] for i in numbers])
        for i, written in zip(numbers, model.reconstruct(batch, batch.shape[1] + 10), strict=True):
            answers[i] = " ".join(words[word] for word in written)
    model.train()
    metrics = TextMetrics()
    metrics.update(texts, answers)
    return metrics.result()


def shuffled(rows: list[torch.Tensor]) -> Iterator[tuple[float, torch.Tensor]]:
    """Yield batches in a new order each epoch, with the epochs done before."""
    epoch = 0
    while True:
        order = random.sample(range(len(rows)), len(rows))
        for done, i in enumerate(order):
            yield epoch + done / len(order), rows[i]
        epoch += 1


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train for the minutes given, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, without evaluations")
    parser.add_argument("--every", type=float, default=5.0, help="minutes from one look at it to the next")
    parser.add_argument("--run", type=Path, help="a run of textae, whose test figures are printed too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    random.seed(options.seed)

    train = options.train.read_text("utf-8").splitlines()
    test = options.test.read_text("utf-8").splitlines()
    counts = Counter(word for text in train for word in text.split())
    words = ["<go>", "<eos>", "<unk>", *(word for word, _ in counts.most_common(WORDS))]
    known = {word: i for i, word in enumerate(words)}
    model = RecurrentSentences(len(words))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, betas=(0.5, 0.999))
    print(f"LSTM: {sum(p.numel() for p in model.parameters()):,} parameters, {len(words):,} words", flush=True)

    ids = [[known.get(word, UNKNOWN) for word in text.split()] for text in train]
    rows = [torch.tensor([ids[i] for i in numbers]) for numbers in by_length(ids)]
    spent, shown, epochs = 0.0, 0.0, 0.0
    for epochs, batch in shuffled(rows):
        if spent >= 60 * options.minutes:
            break
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        spent += time.perf_counter() - started
        if spent - shown >= 60 * options.every:
            shown = spent
            found = figures(model, test[:300], known, words)
            print(f"{spent / 60:5.1f} min, epoch {epochs:.2f}: BLEU {found['bleu']:.1f} of 300 sentences", flush=True)

    table = {f"LSTM, {spent / 60:.1f} min, {epochs:.2f} epochs": figures(model, test, known, words)}
    if options.run:
        own = json.loads((options.run / "metrics.json").read_text("utf-8"))
        table[f"textae, {own['train_seconds'] / 60:.1f} min"] = own
    for name, found in table.items():
        print(f"{name}: " + ", ".join(f"{key} {found[key]:.4f}" for key in FIGURES), flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n", "utf-8")
    return next(iter(table.values()))


if __name__ == "__main__":
    main()
