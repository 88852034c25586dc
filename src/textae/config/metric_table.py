"""The metrics by which runs are sorted and searched."""

from __future__ import annotations

# The figures of metrics.json by which runs can be sorted and searched, and which way is better.
DIRECTIONS = {
    "loss": "minimize",
    "token_accuracy": "maximize",
    "exact_match": "maximize",
    "bleu": "maximize",
    "sentence_bleu2": "maximize",
    "sentence_bleu3": "maximize",
    "sentence_bleu4": "maximize",
    "rouge1": "maximize",
    "rouge2": "maximize",
    "cer": "minimize",
    "wer": "minimize",
    "latent_floats_per_token": "minimize",
    "train_seconds": "minimize",
    "tokens_per_second": "maximize",
    "parameters": "minimize",
    "peak_memory_mb": "minimize",
}
