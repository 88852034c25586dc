"""The model card: what it says is what the run's files say, and its code runs."""

import re

import numpy as np
import pytest

from textae.reporting.model_card import model_card
from textae.runs import run_folder
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir

pytestmark = pytest.mark.backend_free

CONFIG = {
    "name": "reviews",
    "corpus": {"kind": "text", "files": ["/home/me/a b.txt"], "validation_files": [], "field": None},
    "model": {"strides": [2, 2], "latent": "sequence", "latent_size": 64, "variational": False, "max_length": 128}
    | {"overflow": "split"},
    "tokenizer": {"kind": "unigram", "number_normalization": "none"},
}
ENVIRONMENT = {
    "versions": {"textae": "0.1.0", "keras": "3.15.1", "jax": None},
    "machine": "a processor",
    "backend": "tensorflow",
    "precision": "float32",
    "corpus": {"name": "text", "fingerprint": "abc", "train": 12345, "validation": 6, "test": 7},
    "vocabulary_size": 8192,
    "command": ["train.py", "corpus=text", "corpus.files=[a b.txt]"],
}
METRICS = {
    "token_accuracy": 0.98765432, "exact_match": 0.5, "loss": None, "documents": 7, "tokens": 1234,
    "parameters": 7476864, "steps": 300, "examples_seen": 5000, "train_seconds": 149.4,
}  # fmt: skip


def test_what_the_card_says():
    card = model_card(CONFIG, ENVIRONMENT, METRICS)
    for line in (
        "# reviews",
        "| corpus | text; a b.txt, fingerprint abc |",
        "| documents | 12,345 train, 6 validation, 7 test |",
        "| tokenizer | unigram, vocabulary 8,192 |",
        "| model | 7,476,864 parameters |",
        "| training | 300 steps, 5,000 examples, 149 s |",
        "| with | textae 0.1.0, keras 3.15.1 |",
        "python -m textae.train corpus=text 'corpus.files=[a b.txt]'",
        "| `token_accuracy` | 0.9877 | share of tokens that are reconstructed at their position; tokens that "
        "`overflow=truncate` leaves out count as wrong | 0 to 1 |",
        "| `loss` | not finite | mean cross-entropy of the tokens that were encoded | nats per token |",
        "| `tokens` | 1,234 | tokens of the documents, the end of each counted | tokens |",
        "- Texts of more than 128 tokens, the end counted, are split into segments; nothing is lost.",
    ):
        assert line in card.splitlines()
    assert "64 floats for each 4 tokens.\n" in card
    assert "bleu" not in card


def test_a_corpus_by_its_files():
    def says(**settings):
        card = model_card(CONFIG | {"corpus": settings}, ENVIRONMENT, METRICS)
        (line,) = [line for line in card.splitlines() if line.startswith("| corpus |")]
        return line.removeprefix("| corpus | ").removesuffix(", fingerprint abc |")

    assert says(kind="pydocs") == "text"  # what the corpus calls itself
    assert says(kind="tfds", name="imdb", field="review") == "text; field review"
    assert says(
        kind="text", files=["/a/b.jsonl", "c/*.gz"], test_files=["d|.txt"], validation_files=["e"], field="body"
    ) == (r"text; b.jsonl, c/\*.gz; validation split: e; test split: d\|.txt; field body").replace("c/", "")
    assert says(kind="text", files=[f"{n}.txt" for n in range(12)]).endswith("8.txt, 9.txt, 2 more")


def test_vectors_words_and_other_programs():
    config = CONFIG | {"tokenizer": {"kind": "words", "number_normalization": "digits"}}
    config["model"] = CONFIG["model"] | {"latent": "vector", "variational": True, "overflow": "drop"}
    card = model_card(config, ENVIRONMENT | {"command": ["my script.py", "x"]}, METRICS)
    assert "64 floats for each text.\n" in card
    assert "| model | 7,476,864 parameters, variational |" in card
    assert "'my script.py' x" in card.splitlines()
    assert "more than 128 tokens, the end counted; in use they are truncated." in card
    assert "The tokenizer does not keep white space and rare words." in card
    assert "The tokenizer reads numbers as zeros." in card


@pytest.mark.parametrize(
    ("latent", "overflow", "says"),
    [
        ("vector", "split", "are split into segments, with a vector for each; nothing is lost."),
        ("vector", "truncate", "Texts of more than 128 tokens, the end counted, are truncated."),
        ("sequence", "truncate", "Texts of more than 128 tokens, the end counted, are truncated."),
        (
            "sequence",
            "drop",
            "leave out texts of more than 128 tokens, the end counted; in use they are split into segments.",
        ),
    ],
)
def test_what_happens_to_long_texts(latent, overflow, says):
    config = CONFIG | {"model": CONFIG["model"] | {"latent": latent, "overflow": overflow}}
    card = model_card(config, ENVIRONMENT, METRICS)
    assert says in card
    assert ("64 floats for each segment of at most 128 tokens" in card) == (latent == "vector" and "split" in says)


def test_a_run_has_its_card(trained):
    folder, metrics = trained
    run = RunDir(folder)
    card = (run / run_folder.CARD).read_text()
    expected = model_card(run.config(), read_json(run / run_folder.ENVIRONMENT), metrics)
    (examples,), (none,) = (
        re.findall(r"## Examples\n\n.*?\n\n(.*?)\n\n## ", text, re.DOTALL) for text in (card, expected)
    )
    assert card.replace(examples, none) == expected and none == "None were kept."
    kinds = re.findall(r"^\| (typical|worst) \|", examples, re.MULTILINE)
    assert kinds and examples.count("| reconstruction | ") == len(kinds)
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names = {}
    exec(code.replace("THIS_FOLDER", str(folder)), names)
    assert len(names["texts"]) == 2 and np.isfinite(names["latents"][0]).all()


def test_the_metadata_is_the_hub_s():
    """As huggingface_hub reads it; a metric that is not finite is left out."""
    hub = pytest.importorskip("huggingface_hub")
    config = CONFIG | {"name": "a: b\n---", "model": CONFIG["model"] | {"variational": True}}
    data = hub.ModelCard(model_card(config, ENVIRONMENT, METRICS)).data
    assert (data.library_name, data.pipeline_tag, data.model_name) == ("textae", "feature-extraction", "a: b\n---")
    assert data.tags[:2] == ["autoencoder", "text"] and data.tags[-1] == "variational-autoencoder"
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == {"token_accuracy": 0.98765432, "exact_match": 0.5}
    assert {(result.dataset_name, result.dataset_split) for result in data.eval_results} == {("text", "test")}


def test_examples_and_uses():
    examples = [("worst", "a|b\n" * 100, "c"), ("worst", "2", "2"), ("worst", "3", "3"), ("typical", "d", "*d*")]
    card = model_card(CONFIG | {"training": {"corruption": {"mask": 0.1}}}, ENVIRONMENT, METRICS, examples)
    table = card.partition("## Examples")[2].partition("\n## ")[0].strip().splitlines()[2:]
    shown = r"a\|b\\n" * 50
    assert table == [
        "| | text |", "| --- | --- |", f"| worst | {shown} |", "| reconstruction | c |", "| worst | 2 |",
        "| reconstruction | 2 |", "| typical | d |", r"| reconstruction | \*d\* |",
    ]  # fmt: skip
    assert "scores that are high for anomalies." in card and "Nothing was filtered" in card
    vectors = CONFIG | {"model": CONFIG["model"] | {"latent": "vector"}}
    assert "one vector for each text, to compare and to interpolate" in model_card(vectors, ENVIRONMENT, METRICS)


def test_names_are_shown_as_they_are():
    config = CONFIG | {"name": "a\x1b[2J *b*\n# c | `d`"}
    command = ["train.py", "corpus.files=[\u202ea`'.txt]", "name=```"]
    environment = ENVIRONMENT | {
        "command": command,
        "machine": "| <b>",
        "corpus": ENVIRONMENT["corpus"] | {"name": "x|y"},
    }
    lines = model_card(config, environment, METRICS).splitlines()
    assert lines[lines.index("---", 1) + 1] == r"# a\\x1b\[2J \*b\*\\n\# c \| \`d\`"
    assert r"| corpus | x\|y; a b.txt, fingerprint abc |" in lines
    assert r"| on | \| \<b\>, tensorflow, float32 |" in lines
    assert lines[0] == "---" and not any(line.startswith("#") for line in lines[: lines.index("---", 1)])
    assert lines.count("````") == 1 and "````sh" in lines
    (shown,) = [line for line in lines if line.startswith("python -m")]
    assert shown == r"python -m textae.train $'corpus.files=[\u202ea`\'.txt]' 'name=```'"
    assert all(line.isprintable() for line in lines)
