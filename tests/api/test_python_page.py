"""What README and docs/python.md show of Python is run, on small data and with small models."""

import functools
import re
from pathlib import Path

import pytest

import textae
from conftest import make_lines

ROOT = Path(__file__).parents[2]
SMALL = {
    "tokenizer": "bytes",
    "model": {"strides": [4], "channels": [16, 32], "residual_blocks": [0, 1], "latent_size": 16, "max_length": 64},
    "training": {"max_steps": 3, "tokens_per_batch": 1024, "validation_documents": 5, "num_logged_samples": 1},
}
TEXTS = list(dict.fromkeys(make_lines(80)))[:40]


def blocks(page, mark):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"<!-- {mark} -->\n```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, small_pictures):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXTAE_DATA", raising=False)


def test_four_lines_of_the_readme_train_save_and_load(monkeypatch):
    (block,) = blocks("README.md", "ci: python")
    assert len(block.splitlines()) == 4
    small = {name: value for name, value in SMALL.items() if name != "training"}
    monkeypatch.setattr(
        textae, "fit", functools.partial(textae.fit, **small, **{"training.max_steps": 3}), raising=False
    )
    found = {"texts": TEXTS}
    exec(block.replace("5}", "1}"), found)
    assert found["ae"].reconstruct(["a red house"]) and found["ae"].metrics["steps"] == 3


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(capsys):
    found = {"texts": TEXTS, "labels": [number % 2 for number in range(len(TEXTS))], "SMALL": SMALL}
    shown = blocks("docs/python.md", "run")
    assert len(shown) == 4
    for block in shown:
        exec(block, found)
    assert Path("classifier.keras").is_file() and Path("my_model").is_dir()
    assert "<TextAutoencoder default: 16 floats per 4 tokens" in capsys.readouterr().out
