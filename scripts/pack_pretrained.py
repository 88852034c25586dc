"""Train a model that the package brings along, measure it, and pack it: `textae.load("pydocs-small")`.

    python scripts/pack_pretrained.py pydocs-small

It is trained on the documentation of the running Python's standard library in the folder outputs/pydocs-small; where
that holds the finished run, it is only packed. The weights are stored in half precision. The metrics in the packed
folder are those of the packed weights; its model card has those of the weights in single precision beside them, of the
test split and of sentences that have nothing to do with the corpus, scripts/other_english.txt.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

SCRIPTS = Path(__file__).parent
PACKED = SCRIPTS.parent / "src/textae/pretrained"
OTHER_TEXT = SCRIPTS / "other_english.txt"
MOST_BYTES = 5_000_000
TRAINING = {"pydocs-small": ["+experiment=pydocs_small", "corpus.packages=false"]}
SHOWN = ("token_accuracy", "exact_match", "bleu", "cer", "loss")

LICENSE_SECTION = """
## Licence

The model was trained on the documentation of the standard library of Python {version}: the docstrings of its modules
and the help topics, Copyright (c) Python Software Foundation, All Rights Reserved. They are under the PSF License
Version 2, which allows derivative works to be distributed; LICENSE-corpus.txt in this folder is its text, with the
notices of the software that is incorporated in Python. No other text was used. What textae adds, the weights among it,
is under textae's own licence (MIT).
"""

MEASURED_SECTION = """
## Beside the weights in single precision, under noise, and on other English

The weights are stored in half precision, which takes {bytes:,} bytes for the whole folder. "Untrained" are the initial
weights of the same model, `model.initialization=orthogonal`. "Other English" are {sentences} sentences about ferries,
goats and violins, scripts/other_english.txt in textae's repository. "With noise" is `latent_noise={noise}`, that of
the training.

| text | weights | token accuracy | exact match | BLEU | CER | loss |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

`python scripts/pack_pretrained.py {name}` prints this table: {steps:,} updates in {minutes:.0f} minutes on two cores
({machine}) that did other work as well.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and pack a model that the package brings along.")
    parser.add_argument("name", choices=sorted(TRAINING))
    parser.add_argument("--run", type=Path, help="the run folder; default: outputs/NAME")
    arguments = parser.parse_args()
    run = arguments.run or Path("outputs", arguments.name)
    words = TRAINING[arguments.name]
    subprocess.run([sys.executable, "-m", "textae.train", *words, f"hydra.run.dir={run}"], check=True)
    pack(arguments.name, run, PACKED / arguments.name)


def pack(name: str, run: Path, output: Path) -> None:
    """Write the folder that the package brings along.

    Raises:
        ValueError: it would be too large.
    """
    import textae
    from textae.evaluation.evaluator import final_evaluation
    from textae.reporting.model_card import model_card
    from textae.runs.arrays import read_arrays, write_arrays
    from textae.runs.hub import without_folders
    from textae.runs.json_files import read_json, write_json
    from textae.runs.run_folder import CARD, ENVIRONMENT, METRICS, TOKENIZER, WEIGHTS, RunDir

    trained = RunDir(run)
    config = without_folders(trained.config())
    described = read_json(trained / ENVIRONMENT) | {"command": ["train.py", *TRAINING[name]], "commit": None}
    described.pop("format")
    described["sessions"] = [
        session | {k: described[k] for k in ("command", "commit")} for session in described["sessions"]
    ]
    with tempfile.TemporaryDirectory() as temporary:
        packed = RunDir(Path(temporary) / name)
        packed.create(config, described)
        shutil.copytree(trained / TOKENIZER, packed / TOKENIZER)
        weights, _ = read_arrays(trained / WEIGHTS)
        write_arrays(packed / WEIGHTS, {key: array.astype(np.float16) for key, array in weights.items()}, {})
        shutil.copyfile(Path(sysconfig.get_path("stdlib"), "LICENSE.txt"), packed / "LICENSE-corpus.txt")

        texts = partial(test_texts, trained.config())
        autoencoder = textae.load(packed.folder)
        evaluation = final_evaluation(autoencoder, texts, keep=8)
        metrics = trained.metrics() | evaluation.metrics
        decoded = [autoencoder.tokenizer.decode([each.original, each.answer]) for each in evaluation.samples]
        examples = [(each.kind, *pair) for each, pair in zip(evaluation.samples, decoded, strict=True)]
        examples = [example for example in examples if "@" not in example[1]]  # people's addresses
        rows = table(trained.folder, packed.folder, trained.config())
        card = model_card(config, described, metrics, examples).replace("THIS_FOLDER", name)
        size = sum(path.stat().st_size for path in packed.folder.rglob("*") if path.is_file())
        card += LICENSE_SECTION.format(version=described["python"]) + MEASURED_SECTION.format(
            bytes=round(size, -3),
            sentences=len(other_texts()),
            noise=config["model"]["latent_noise"],
            rows="\n".join(rows),
            name=name,
            steps=metrics["steps"],
            minutes=metrics["train_seconds"] / 60,
            machine=described["machine"],
        )
        (packed / CARD).write_text(card, encoding="utf-8")
        write_json(packed / METRICS, metrics)
        size = sum(path.stat().st_size for path in packed.folder.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise ValueError(f"expected at most {MOST_BYTES:,} bytes, found {size:,}")
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(exist_ok=True)
        shutil.copytree(packed.folder, output)
    print("\n".join(rows))
    print(f"{output}: {size:,} bytes")


def test_texts(config):
    """Yield the test split of the corpus that a run was trained on."""
    from textae.config.mapping import from_mapping
    from textae.data.corpora import open_corpus

    settings = from_mapping(config)
    return open_corpus(settings.corpus, Path(settings.data_dir) / "corpora").texts("test")


def other_texts() -> list[str]:
    """Return sentences that have nothing to do with the corpus."""
    return OTHER_TEXT.read_text(encoding="utf-8").splitlines()


def table(trained: Path, packed: Path, config) -> list[str]:
    """Return a row for each text, with the untrained weights, those that were trained, and those that are packed."""
    import textae
    from textae.config.mapping import from_mapping
    from textae.evaluation.evaluator import evaluate
    from textae.inference.text_autoencoder import TextAutoencoder
    from textae.models.autoencoder import build
    from textae.models.initialization import initialize
    from textae.models.isolation import isolated

    rows = []
    noise = config["model"]["latent_noise"]
    texts = {"test split": list(test_texts(config)), "other English": other_texts()}
    for level, suffix in ((0.0, ""), (noise, ", with noise")):
        loaded = textae.load(trained, latent_noise=level)
        settings = from_mapping(config)
        with isolated(seed=settings.training.seed):  # as training begins
            model = build(settings.model, loaded.tokenizer.vocabulary_size, settings.training.seed)
            initialize(model, settings.model.initialization.name)
        models = {
            "untrained": TextAutoencoder(model, loaded.tokenizer, settings, level),
            "single": loaded,
            "half, as packed": textae.load(packed, latent_noise=level),
        }
        for text, lines in texts.items():
            for weights, autoencoder in models.items():
                found = evaluate(autoencoder, lines).metrics
                rows.append(f"| {text}{suffix} | {weights} | " + " | ".join(f"{found[n]:.5f}" for n in SHOWN) + " |")
    return rows


if __name__ == "__main__":
    main()
