"""Time textae's training and coding beside plain Keras, PyTorch and an LSTM; prints tables, writes JSON.

python scripts/benchmark_training.py [CORPUS.txt.xz ...] [--repeats 9] [--json FILE]
python scripts/benchmark_training.py --only padded reviews --torch eager

Needs `pip install -e '.[benchmark]'` (not for memory and time). Memory and time want TensorFlow; the others run on JAX
too, and on a GPU with `--rows 1024` or so. Architecture, parameters, batch, loss and optimizer are the same everywhere
(`rivals.py`, `rivals_torch.py`). Variants take turns in one process, a round runs each of them for `--steps` batches,
and ratios are medians over rounds of the ratio within a round. The sections:

padded   batches of full length, which have no padding to save
reviews  documents as they come (of the files, or of Python's documentation): textae's buckets of lengths beside padding
         to 256
lstm     encoding and decoding texts of 256 tokens beside an LSTM of as many parameters, which decodes greedily
memory   what a training step adds to the memory of a process that has model and optimizer (Linux alone)
time     seconds of training until 99 % of the held-out tokens of Python's documentation are reconstructed
"""

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from textae.hardware import start_keras

with contextlib.suppress(ImportError):
    import triton  # noqa: F401 - PyTorch loads it, which crashes once TensorFlow has loaded its own LLVM

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402

from measuring import (  # noqa: E402
    Batch,
    TextaeTrainer,
    backend,
    count_trainable,
    product,
    random_batch,
    random_batches,
    rates,
    ratio,
    table,
    taken,
)
from rivals import KerasTrainer  # noqa: E402
from textae.config.schema import Config, ModelConfig, PydocsConfig, TextConfig, TokenizerConfig, TrainingConfig  # noqa: E402
from textae.data.batching import Batches  # noqa: E402
from textae.data.preparation import Prepared, prepare  # noqa: E402
from textae.hardware import on_accelerator, processor  # noqa: E402
from textae.inference.codec import Codec  # noqa: E402
from textae.models.autoencoder import build  # noqa: E402
from textae.models.isolation import isolated  # noqa: E402
from textae.reporting.reporter import Reporter  # noqa: E402
from textae.runs.run_folder import RunDir  # noqa: E402
from textae.training import schedules  # noqa: E402
from textae.training.interrupts import Interrupts  # noqa: E402
from textae.training.loop import TrainingLoop  # noqa: E402
from textae.training.setup import (  # noqa: E402
    Arithmetic,
    evaluation_model,
    training_batches,
    training_model,
)
from textae.training.state import TrainingState  # noqa: E402

SECTIONS = ("padded", "reviews", "lstm", "memory", "time")
SLOW = 3.0  # times float32 from which bfloat16 in PyTorch is not worth measuring


def machine() -> str:
    """Return what is computed on."""
    if not on_accelerator():
        return processor()
    import torch

    return torch.cuda.get_device_name()


def torch_trainers(options: argparse.Namespace, vocabulary: int, batch: Batch) -> dict[str, Callable]:
    """Return PyTorch's variants by name, without those that this machine cannot run or has no instructions for."""
    from rivals_torch import TorchTrainer, slowness_of_bfloat16

    found: dict[str, Callable] = {}
    precisions, times = ["float32", "bfloat16"], slowness_of_bfloat16()
    if times > SLOW:
        print(f"\nPyTorch in bfloat16 is left out: its products take {times:.0f} times as long as those in float32.")
        precisions.remove("bfloat16")
    for mode, precision in itertools.product(options.torch, precisions):
        trainer = TorchTrainer(options.model, vocabulary, mode, precision)
        try:
            trainer([batch])
        except RuntimeError as error:  # torch.compile wants a C++ compiler
            print(f"\nPyTorch, {mode}, {precision} is left out: {str(error).splitlines()[0]}")
            continue
        found[f"PyTorch, {mode}, {precision}"] = trainer
    return found


def trainers(options: argparse.Namespace, vocabulary: int, batch: Batch) -> dict[str, Any]:
    """Return everyone's training of the same architecture, by name.

    Raises:
        ValueError: one has another number of parameters.
    """
    ours = TextaeTrainer(options.model, vocabulary)
    others = {"plain Keras": KerasTrainer(options.model, vocabulary), **torch_trainers(options, vocabulary, batch)}
    for name, trainer in others.items():
        if trainer.parameters != ours.parameters:
            raise ValueError(f"expected {ours.parameters:,} parameters of {name}, received {trainer.parameters:,}")
    print(f"\nParameters: {ours.parameters:,} of each; vocabulary {vocabulary}.")
    return {f"textae ({ours.precision})": ours, **others}


def compared(title: str, found: dict[str, np.ndarray], extra: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """Print tokens per second and ratios to the best of PyTorch and to Keras; return the rows."""
    torches = [name for name in found if name.startswith("PyTorch")]
    best = max(torches, key=lambda name: np.median(found[name]))
    heads = ["variant", "tokens/s", "times the best PyTorch", "times plain Keras", *(extra or {})]
    rows = [
        [name, f"{np.median(rate):,.0f}", ratio(rate, found[best]), ratio(rate, found["plain Keras"])]
        + [values[number] for values in (extra or {}).values()]
        for number, (name, rate) in enumerate(found.items())
    ]
    table(f"{title}; the best PyTorch is {best.removeprefix('PyTorch, ')}.", heads, rows)
    rounds = {name: rate.tolist() for name, rate in found.items()}
    return {
        "best_torch": best,
        "rows": [dict(zip(heads, row, strict=True)) for row in rows],
        "tokens_per_second": rounds,
    }


def padded(options: argparse.Namespace) -> dict[str, Any]:
    """Compare training on batches of full length."""
    batch = random_batch(options.vocabulary, options.rows, options.length)
    everyone = trainers(options, options.vocabulary, batch)
    from rivals_torch import product as torch_product

    size = 8192 if on_accelerator() else 2048

    def multiply(run: Callable[[], float]) -> Callable[[], float]:
        def call() -> float:
            run()
            return 2.0 * size**3

        return call

    precisions = [p for p in ("float32", "bfloat16") if any(p in name for name in everyone)]
    makers = enumerate((product, torch_product))
    products = {(p, kind): multiply(make(p, size)) for kind, make in makers for p in precisions}
    streams = {name: random_batches(options.vocabulary, options.rows, options.length) for name in everyone}
    variants = {name: lambda name=name: everyone[name](taken(streams[name], options.steps)) for name in everyone}
    found = rates(products | variants, options.repeats)
    best = {p: np.maximum(found.pop((p, 0)), found.pop((p, 1))) for p in precisions}
    print("Matrix products: " + ", ".join(f"{p} {np.median(r) / 1e9:.0f} GFLOP/s" for p, r in best.items()) + ".")
    operations = next(iter(everyone.values())).operations(options.model.strides[0])
    shares = [
        ratio(operations * rate, best["bfloat16" if "bfloat16" in name else "float32"]) for name, rate in found.items()
    ]
    title = f"Training on {options.rows} x {options.length} tokens without padding"
    report = compared(title, found, {"share of the product rate": shares})
    return report | {
        "parameters": next(iter(everyone.values())).parameters,
        "product_rate": {p: float(np.median(rate)) for p, rate in best.items()},
    }


def batches_of(prepared: Prepared, config: ModelConfig, *, bucketed: bool) -> Batches:
    """Return the batches that textae trains on, or those of a script that pads all texts to the longest length."""
    settings = TrainingConfig()
    return Batches(
        prepared.train,
        max_length=config.max_length,
        stride=int(np.prod(config.strides)),
        tokens_per_batch=settings.tokens_per_batch,
        length_buckets=settings.num_length_buckets if bucketed else [config.max_length],
        overflow=config.overflow.name,
        seed=settings.seed,
        fixed_rows=not bucketed,
    )


def groups(batches: Batches, size: int) -> Iterator[list[Batch]]:
    """Yield so many batches at a time, epoch after epoch."""
    everything = itertools.chain.from_iterable(batches.epoch(number) for number in itertools.count())
    while True:
        yield [(batch.tokens, batch.lengths) for batch in taken(everything, size)]


def reviews(options: argparse.Namespace) -> dict[str, Any]:
    """Compare training on documents as they come; padding does not count."""
    prepared = prepare(options.data, options.corpus, options.tokenizer)
    bucketed, whole = (batches_of(prepared, options.model, bucketed=kind) for kind in (True, False))
    everyone = trainers(options, prepared.tokenizer.vocabulary_size, next(groups(whole, 1))[0])
    ours, positions = next(iter(everyone)), TrainingConfig().tokens_per_batch
    for length in bucketed.bucket_lengths:  # each shape's first time takes longer
        everyone[ours]([random_batch(prepared.tokenizer.vocabulary_size, max(1, positions // length), length)])
    streams = {name: groups(bucketed if name == ours else whole, options.steps) for name in everyone}
    variants = {name: lambda name=name: everyone[name](next(streams[name])) for name in everyone}
    shares = {"bucketed": bucketed.tokens / bucketed.positions, "padded": whole.tokens / whole.positions}
    print(f"\nPadding efficiency, {prepared.corpus.name}: textae {shares['bucketed']:.3f}, "
          f"padded to {options.model.max_length} {shares['padded']:.3f}.")  # fmt: skip
    title = (
        f"Training on documents as they come ({prepared.corpus.name}), {positions} positions a batch, without padding"
    )
    return compared(title, rates(variants, options.repeats)) | {"corpus": prepared.corpus.name, "real_share": shares}


def lstm(options: argparse.Namespace) -> dict[str, Any]:
    """Compare encoding and decoding whole texts of `max_length` tokens, in float32."""
    import rivals_torch

    length = options.model.max_length
    model = build(options.model, options.vocabulary)
    codec = Codec(model)
    recurrent = rivals_torch.recurrent(options.vocabulary, options.model.channels[0], count_trainable(model))
    tokens, _ = random_batch(options.vocabulary, options.rows, length)

    def convolutional() -> float:
        codec.decode(codec.encode([row[:-1] for row in tokens]))  # the codec adds the end
        return tokens.size

    def greedy() -> float:
        recurrent.reconstruct(tokens)
        return tokens.size

    found = rates({"textae": convolutional, "LSTM, greedy": greedy}, options.repeats)
    parameters = {"textae": count_trainable(model), "LSTM, greedy": rivals_torch.parameters(recurrent)}
    heads = ["variant", "parameters", "tokens/s", "times the LSTM"]
    rows = [
        [name, f"{parameters[name]:,}", f"{np.median(rate):,.0f}", ratio(rate, found["LSTM, greedy"])]
        for name, rate in found.items()
    ]
    table(f"Encoding and decoding {options.rows} texts of {length} tokens, both with tied embeddings.", heads, rows)
    return {"rows": [dict(zip(heads, row, strict=True)) for row in rows], "parameters": parameters}


def added_memory(options: argparse.Namespace) -> float:
    """Return the bytes that full steps add to this process after model, optimizer and a tiny step."""
    kind = {"textae": TextaeTrainer, "plain Keras": KerasTrainer}[options.child]
    trainer = kind(options.model, options.vocabulary)
    trainer([random_batch(options.vocabulary, 1, options.length)])
    release()
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins here
    trainer([random_batch(options.vocabulary, options.rows, options.length)] * 3)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(peak.split()[1]) - before


def release() -> None:
    """Give memory that was freed back to the system, where the C library can."""
    import ctypes
    import gc

    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Compare what a training step adds to the memory, each in processes of its own."""
    found: dict[str, dict[int, list[float]]] = {}
    for vocabulary, name in itertools.product(options.vocabularies, ("textae", "plain Keras")):
        for _ in range(options.processes):
            command = [sys.executable, __file__, "--child", name, "--vocabulary", str(vocabulary)]
            command += ["--rows", str(options.rows), "--length", str(options.length)]
            command += ["--channels", *map(str, options.channels), "--latent-size", str(options.latent_size)]
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}  # freed memory is returned at once
            result = subprocess.run(command, capture_output=True, text=True, env=environment)
            if result.returncode:
                raise ValueError(f"expected the memory of {name}, received: {result.stderr.strip()[-500:]}")
            found.setdefault(name, {}).setdefault(vocabulary, []).append(float(result.stdout.split()[-1]) / 1e6)
    rows = []
    for vocabulary in options.vocabularies:
        ours, theirs = (float(np.median(found[name][vocabulary])) for name in ("textae", "plain Keras"))
        rows.append([vocabulary, f"{ours:,.0f}", f"{theirs:,.0f}", theirs / ours if ours else float("nan")])
    heads = ["vocabulary", "textae, MB", "plain Keras, MB", "times textae's"]
    table(f"Memory that a training step of {options.rows} x {options.length} tokens adds.", heads, rows)
    return {"megabytes": found}


class LoopUntil(TrainingLoop):
    """Training that ends when a validation's token accuracy is reached; `seconds` is the time without validations."""

    reach, seconds = 1.0, 0.0
    _validating = 0.0

    def validate(self) -> None:
        """Evaluate on the validation split, and end where the accuracy is reached."""
        self.seconds, start = self.state.seconds - self._validating, time.monotonic()
        super().validate()
        self._validating += time.monotonic() - start
        self.state.over |= self.state.history[-1]["token_accuracy"] >= self.reach


def textae_until(options: argparse.Namespace) -> dict[str, Any]:
    """Run the default experiment until the accuracy is reached; validations do not count."""
    config = Config(
        corpus=PydocsConfig(),
        model=options.model,
        data_dir=str(options.data),
        training=TrainingConfig(eval_every_steps=options.eval_every_steps, max_steps=options.max_steps),
    )
    prepared = prepared_for(options, config.training)
    arithmetic = Arithmetic.of(config)
    tokenizer = prepared.tokenizer
    _, step = training_model(config, tokenizer.vocabulary_size, tokenizer.first_text_id, arithmetic)
    state = TrainingState()
    with tempfile.TemporaryDirectory() as folder, isolated():
        run = RunDir(folder)
        with Reporter(run, config, state) as reporter, Interrupts() as interrupts:
            loop = LoopUntil(
                config.training,
                run,
                training_batches(config, prepared, arithmetic),
                step,
                evaluation_model(config, tokenizer),
                prepared.validation,
                state,
                reporter,
                interrupts,
            )
            loop.reach = options.reach
            loop()
    found = {"steps": state.step, "tokens": state.tokens_seen, "seconds": loop.seconds}
    accuracy = state.history[-1]["token_accuracy"]
    return {"variant": "textae, default experiment", **found, "accuracy": accuracy, "reached": accuracy >= loop.reach}


def prepared_for(options: argparse.Namespace, settings: TrainingConfig) -> Prepared:
    """Return Python's documentation with its tokenizer and tokens."""
    return prepare(options.data, PydocsConfig(), options.tokenizer, settings.validation_documents)


def keras_until(
    options: argparse.Namespace, prepared: Prepared, plan: str, steps: int | None, rate: Callable, minutes: float
) -> dict[str, Any]:
    """Train the plain Keras model, padded to the longest length, until the accuracy or a limit is reached."""
    import tensorflow as tf

    keras.utils.set_random_seed(TrainingConfig().seed)
    trainer = KerasTrainer(options.model, prepared.tokenizer.vocabulary_size)
    ids = prepared.tokenizer.encode(prepared.validation)
    length = options.model.max_length
    held_out = Batches(
        ids,
        max_length=length,
        stride=options.model.strides[0],
        tokens_per_batch=TrainingConfig().tokens_per_batch,
        length_buckets=[length],
        shuffle=False,
    )

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)])
    def right(tokens: Any, lengths: Any) -> Any:
        same = tf.argmax(trainer.model(tokens, training=False), -1, output_type=tf.int32) == tokens
        return tf.reduce_sum(tf.cast(same & tf.sequence_mask(lengths, tf.shape(tokens)[1]), tf.int32))

    done, tokens, seconds, accuracy = 0, 0, 0.0, 0.0
    for group in groups(batches_of(prepared, options.model, bucketed=False), options.eval_every_steps):
        start = time.monotonic()
        tokens += trainer(group, lambda number: rate(done + number))  # noqa: B023 - called before `done` moves on
        seconds += time.monotonic() - start
        done += len(group)
        accuracy = sum(int(right(b.tokens, b.lengths)) for b in held_out.epoch(0)) / held_out.tokens
        print(f"plain Keras, {plan}: step {done}, {seconds:.0f} s, accuracy {accuracy:.4f}", file=sys.stderr)
        if accuracy >= options.reach or seconds >= 60 * minutes or (steps is not None and done >= steps):
            break
    found = {"variant": f"plain Keras, {plan}", "steps": done, "tokens": tokens, "seconds": seconds}
    return found | {"accuracy": accuracy, "reached": accuracy >= options.reach}


def until(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the time until an accuracy on held-out text; of Keras's learning rates the best counts."""
    settings = TrainingConfig()
    results = [textae_until(options)]
    prepared = prepared_for(options, settings)
    ours, theirs = (batches_of(prepared, options.model, bucketed=kind) for kind in (True, False))
    longer = round(options.max_steps * (ours.tokens / len(ours)) / (theirs.tokens / len(theirs)))

    def cosine(steps: int) -> Callable[[int], float]:
        return lambda step: schedules.learning_rate(
            Config(corpus=PydocsConfig()).learning_rate,
            settings.schedule.name,
            step=step,
            done=step / steps,
            warmup_steps=settings.warmup_steps,
            final_share=settings.final_learning_rate,
        )

    minutes = options.minutes
    for plan, steps, rate in (
        (f"textae's learning rates over {options.max_steps} steps", options.max_steps, cosine(options.max_steps)),
        (f"the same over {longer} steps, for as many tokens", longer, cosine(longer)),
        ("learning rate 0.001", None, lambda step: 1e-3),
    ):
        results.append(keras_until(options, prepared, plan, steps, rate, minutes))
        if results[-1]["reached"]:
            minutes = min(minutes, results[-1]["seconds"] / 60)  # what takes longer is not the best
    rows = [
        [
            found["variant"],
            found["steps"],
            f"{found['tokens']:,}",
            f"{found['seconds']:.0f}" if found["reached"] else f"not in {found['seconds']:.0f}",
            f"{found['accuracy']:.4f}",
        ]
        for found in results
    ]
    heads = ["variant", "steps", "tokens", "seconds", "accuracy"]
    table(f"Training until {options.reach:.0%} of the held-out tokens of pydocs are reconstructed.", heads, rows)
    reached = [found["seconds"] for found in results[1:] if found["reached"]]
    if results[0]["reached"] and reached:
        print(f"\nThe best of plain Keras takes {min(reached) / results[0]['seconds']:.2f} times as long as textae.")
    return {"results": results}


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="documents for reviews, one a line; by default Python's documentation")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    parser.add_argument("--steps", type=int, default=6, help="batches of a round")
    parser.add_argument("--torch", nargs="+", choices=("eager", "compile"), default=("eager", "compile"))
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--channels", type=int, nargs=2, default=ModelConfig().channels)
    parser.add_argument("--latent-size", type=int, default=ModelConfig().latent_size)
    parser.add_argument("--rows", type=int, default=64, help="texts of a batch: padded, lstm, memory")
    parser.add_argument("--length", type=int, default=64, help="tokens of a text: padded, memory")
    parser.add_argument("--vocabularies", type=int, nargs="+", default=(8192, 32768), help="of memory")
    parser.add_argument("--processes", type=int, default=3, help="measurements of memory, of which the median counts")
    parser.add_argument("--reach", type=float, default=0.99, help="accuracy to train to")
    parser.add_argument("--minutes", type=float, default=20.0, help="limit of each training of plain Keras")
    parser.add_argument("--max-steps", type=int, default=TrainingConfig().max_steps)
    parser.add_argument("--eval-every-steps", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TEXTAE_DATA", "data")))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=("textae", "plain Keras"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.model = ModelConfig(channels=options.channels, latent_size=options.latent_size)
    options.tokenizer = TokenizerConfig()
    options.corpus = PydocsConfig()
    if options.files:
        files = [str(Path(file).resolve()) for file in options.files]
        options.corpus = TextConfig(files=files)
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    running = backend()
    if running != "tensorflow" and not {"padded", "reviews", "lstm"}.issuperset(options.only):
        raise ValueError(f"expected KERAS_BACKEND tensorflow for memory and time, received {running}")
    if options.child:
        print(added_memory(options))
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("keras", running))
    print(f"{machine()}; {versions}")
    report: dict[str, Any] = {"machine": machine()}
    sections = {"padded": padded, "reviews": reviews, "lstm": lstm, "memory": memory, "time": until}
    for name in options.only:
        report[name] = sections[name](options)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
