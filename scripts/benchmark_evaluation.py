"""The speed of an evaluation beside that of its matrix products.

python scripts/benchmark_evaluation.py RUN FILE [--texts 400] [--repeats 3]

RUN is the folder of a trained run, FILE has a text per line. On JAX: KERAS_BACKEND=jax. Evaluation and products take
turns; the table has medians, and the median of the ratios within a round.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

import textae
from measuring import backend, multiplied_weights, processor, product, rates, ratio, table
from textae.evaluation.evaluator import evaluate

PRODUCT = 2048  # rows and columns of the product that is the measure
PRODUCTS = 8  # of them in a turn


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
    multiply = product("float32", PRODUCT)
    each = 2 * multiplied_weights(ae.model.named_weights(), ae.model.stride)

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
