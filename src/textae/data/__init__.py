"""From a corpus to batches of token ids: corpora, tokenizers, the token store, batching, corruption."""
