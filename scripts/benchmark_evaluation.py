"""The speed of an evaluation beside that of its matrix products.

python scripts/benchmark_evaluation.py RUN FILE [--texts 400] [--repeats 3]

RUN is the folder of a trained run, FILE has a text per line. On JAX: KERAS_BACKEND=jax. Evaluation and products take
turns; the table has medians, and the median of the ratios within a round.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

import textae
from measuring import backend, processor, product, rates, ratio, table
from textae.evaluation.evaluator import evaluate

PRODUCT = 2048  # rows and columns of the product that is the measure
PRODUCTS = 8  # of them in a turn


def operations(model: Any) -> float:
    """Return the operations of matrix products that a token costs, encoded and decoded."""
    sizes = {name: int(np.prod(w.shape)) for name, w in model.named_weights().items() if len(w.shape) > 1}
    embedding = sum(size for name, size in sizes.items() if "embedding" in name)
    return 2 * ((sum(sizes.values()) - embedding) / model.stride + embedding)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    options = parser.parse_args(arguments)
    ae = textae.load(options.run)
    with options.file.open(encoding="utf-8") as lines:
        texts = [line.rstrip("\n") for line in itertools.islice(lines, options.texts)]
    tokens = sum(len(ids) + 1 for ids in ae.tokenizer.encode(texts))
    multiply, each = product("float32", PRODUCT), operations(ae.model)

    def evaluated() -> float:
        evaluate(ae, texts)
        return tokens

    def multiplied() -> float:
        for _ in range(PRODUCTS):
            multiply()
        return PRODUCTS * 2 * PRODUCT**3 / each

    found = rates({"evaluation": evaluated, "its products alone": multiplied}, options.repeats)
    print(
        f"{processor()}; {backend()}; {len(texts):,} texts, {tokens:,} tokens, {each / 1e6:.1f} million operations each"
    )
    heads = ["", "tokens/s", "times the products"]
    rows = [[name, f"{np.median(rate):,.0f}", ratio(rate, found["its products alone"])] for name, rate in found.items()]
    table("Evaluation.", heads, rows)


if __name__ == "__main__":
    main()
