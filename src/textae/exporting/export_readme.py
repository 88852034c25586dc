"""The README of an exported run: what its files take and return, and code that runs, from texts to texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textae.data.tokenizers.numbers import HEXADECIMAL

if TYPE_CHECKING:
    from textae.data.tokenizers import Tokenizer
    from textae.exporting.export_graphs import Graphs


def export_readme(graphs: Graphs, tokenizer: Tokenizer, format: str, int8: Mapping[str, Any] | None = None) -> str:
    """Return how to call what was written.

    Args:
        graphs: the functions that were exported.
        tokenizer: text to ids.
        format: "saved_model" or "onnx".
        int8: what `textae.exporting.int8.measured` found, where the weights are quantised.
    """
    model = graphs.model
    size, longest = model.latent_size, model.max_length
    parts = "segments" if graphs.vector else "latent positions"
    if graphs.single:
        latents = f"`latents` float32 (batch, {size})"
    else:
        latents = f"`latents` float32 (batch, {parts}, {size}), `num_latents` int32 (batch,), the {parts} of each text"
    tokens = longest if graphs.vector else model.stride
    return _README.format(
        files="`encoder.onnx` and `decoder.onnx`" if format == "onnx" else "A SavedModel",
        latents=latents,
        meaning="" if graphs.single else f" A latent stands for a {parts[:-1]} of {tokens} tokens.",
        long=f"of more than {longest - 1} tokens {'are truncated' if graphs.truncates else 'are split into segments'}",
        tokenizer=_TOKENIZERS[tokenizer.kind] + _NUMBERS[tokenizer.number_normalization],
        needed=", ".join(["numpy", "onnxruntime" if format == "onnx" else "tensorflow", *_needed(tokenizer)]),
        code=_code(graphs, tokenizer, format),
        int8="" if int8 is None else _INT8.format(**int8),
    )


def takes_texts(tokenizer: Tokenizer) -> bool:
    """Return whether graphs can make ids of texts: of bytes as they are."""
    return tokenizer.kind == "bytes" and tokenizer.lossless


def _needed(tokenizer: Tokenizer) -> list[str]:
    return ["sentencepiece"] if tokenizer.kind in ("unigram", "bpe") else []


def _code(graphs: Graphs, tokenizer: Tokenizer, format: str) -> str:
    """Return a program that encodes and decodes: texts, or ids where the tokenizer is not one of other programs."""
    kind = "sentencepiece" if _needed(tokenizer) else tokenizer.kind
    numbers = _NUMBERS_CODE[tokenizer.number_normalization] if kind in _TO_IDS else ""
    call = _ONNX_CODE if format == "onnx" else _SAVED_MODEL_CODE
    if graphs.single:
        call = call.replace(', encoded["num_latents"]', "").replace(', "num_latents"', "")
    library = "onnxruntime" if format == "onnx" else "tensorflow as tf"
    imports = [*(["re"] if "re." in numbers else []), "", "numpy as np", library, *_needed(tokenizer)]
    lines = [f"import {name}" if name else "" for name in imports]
    code = "\n".join(lines).lstrip("\n") + "\n\n" + numbers.join(_TO_IDS.get(kind, ("", _SOME_IDS)))
    code += _PADDING + call + _TO_TEXTS.get(kind, "")
    if format == "saved_model" and takes_texts(tokenizer):
        texts = _TEXTS_CODE
        code += texts.replace(', encoded["num_latents"]', "") if graphs.single else texts
    return code


_README = """# Encoder and decoder of a textae run

{files}, with dynamic batch and length; `tokenizer/` converts texts to ids and ids to texts.

- encode: `ids` int32 (batch, length), `lengths` int32 (batch,), each text's own, to {latents}.
- decode: what encode returns to `ids` int32 (batch, length), 0 beyond each text's own, and `lengths` int32 (batch,).

Ids are those of the text without an end; what lies beyond `lengths` is not read. Texts {long}.{meaning}

{tokenizer}

This program needs {needed}, and runs in this folder:

```python
{code}```
{int8}"""
_INT8 = """
## int8

The weights of matrix products and embeddings are 8-bit integers. On {documents:,} texts of {tokens:,} tokens:

| | float32 | int8 |
| --- | --- | --- |
| token accuracy | {token_accuracy_float32:.5f} | {token_accuracy_int8:.5f} |
| texts reconstructed exactly | {exact_match_float32:.5f} | {exact_match_int8:.5f} |
| bytes of encoder and decoder | {bytes_float32:,} | {bytes_int8:,} |

Latents differ from those of float32 by {latent_difference:.5f} of their length. Decode latents with the decoder of the
same folder, or measure again. `int8.json` holds these numbers.
"""
_TOKENIZERS = {
    "bytes": "An id is a byte of UTF-8 plus 2.",
    "characters": "Ids from 258 on are the `characters` of tokenizer/tokenizer.json, in order; any other character is "
    "its bytes of UTF-8, each plus 2.",
    "words": "Ids from 3 on are the `words` of tokenizer/tokenizer.json, in order; any other word is 2. Words stand "
    "between white space.",
}
_TOKENIZERS["unigram"] = _TOKENIZERS["bpe"] = (
    "tokenizer/tokenizer.model is a SentencePiece model. It takes texts in which U+0010 is written as U+0010 and `d`, "
    "and U+2581 as U+0010 and `u`; undo that in what it decodes."
)
_NUMBERS = {
    "none": "",
    "digits": " Before that, every digit from 0 to 9 becomes 0.",
    "hexadecimals": " Before that, every digit from 0 to 9, and every letter of a hexadecimal number, becomes 0.",
}
_NUMBERS_CODE = {"none": "", "digits": 'texts = [re.sub("[0-9]", "0", text) for text in texts]\n'}
_NUMBERS_CODE["hexadecimals"] = (
    f"hexadecimal = re.compile(r'{HEXADECIMAL.pattern}')\n"
    'texts = [hexadecimal.sub(lambda found: (found[1] or "") + "0" * len(found[2]), text) for text in texts]\n'
    + _NUMBERS_CODE["digits"]
)
# Texts to ids; numbers are normalised between the two parts.
_TEXTS = 'texts = ["Any text.", "Another one."]\n'
_TO_IDS = {
    "bytes": (_TEXTS, "rows = [[byte + 2 for byte in text.encode()] for text in texts]\n"),
    "sentencepiece": (
        'tokenizer = sentencepiece.SentencePieceProcessor(model_file="tokenizer/tokenizer.model")\n' + _TEXTS,
        r'rows = tokenizer.encode([t.replace("\x10", "\x10d").replace("\u2581", "\x10u") for t in texts])' + "\n",
    ),
}
_SOME_IDS = "rows = [[5, 6, 7], [8, 9]]\n"
_PADDING = """\
lengths = np.array([len(row) for row in rows], np.int32)
ids = np.zeros((len(rows), max(lengths)), np.int32)
for i, row in enumerate(rows):
    ids[i, : len(row)] = row

"""
_ONNX_CODE = """\
encoder = onnxruntime.InferenceSession("encoder.onnx")
decoder = onnxruntime.InferenceSession("decoder.onnx")
names = ["latents", "num_latents"]
encoded = encoder.run(names, {"ids": ids, "lengths": lengths})
found, counts = decoder.run(["ids", "lengths"], dict(zip(names, encoded)))
"""
_SAVED_MODEL_CODE = """\
served = tf.saved_model.load(".")
encoded = served.encode(tf.constant(ids), tf.constant(lengths))
decoded = served.decode(encoded["latents"], encoded["num_latents"])
found, counts = decoded["ids"].numpy(), decoded["lengths"].numpy()
"""
# Ids to texts.
_TO_TEXTS = {
    "bytes": """
reconstructed = [bytes((row[:n] - 2).astype("uint8")).decode("utf-8", "replace") for row, n in zip(found, counts)]
""",
    "sentencepiece": r"""
decoded = tokenizer.decode([row[:count].tolist() for row, count in zip(found, counts)])
reconstructed = [t.replace("\x10u", "\u2581").replace("\x10d", "\x10") for t in decoded]
""",
}
_TEXTS_CODE = """
# Texts go in as bytes of UTF-8, and come out as bytes.
encoded = served.encode_texts(tf.constant(["Any text.", "Another one."]))
texts = served.decode_texts(encoded["latents"], encoded["num_latents"])["texts"]
"""
