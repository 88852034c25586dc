"""The how-to pages: what they say to run is run as it is printed, on small data and with small models.

A block that is run stands under `<!-- run -->`. `python -m textae.train` gets settings for a small model on top.
"""

import gzip
import json
import os
import random
import re
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from conftest import make_lines

pytestmark = pytest.mark.backend_free

DOCS = Path(__file__).parents[2] / "docs"
SMALL = [
    "tokenizer.vocabulary_size=300",
    "model.channels=[32,64]",
    "model.latent_size=32",
    "model.max_length=64",
    "training.max_steps=40",
    "training.tokens_per_batch=1024",
    "training.warmup_steps=5",
    "training.learning_rate=0.01",
    "training.num_length_buckets=4",
    "training.validation_documents=20",
    "training.num_logged_samples=2",
]
LOG_SETTINGS = ["training.max_steps=150", "training.validation_documents=20"]


def blocks(page):
    """The language and the text of each block that is run, in order."""
    return re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def follow(tmp_path, forks):
    """A function that runs a page's blocks in a folder, one after the other, and returns what each printed.

    `python` there is a fork of a process that has imported everything. Trainings of many steps are faster compiled.
    """

    def run(page, settings, eager_training=True):
        shims = tmp_path / "bin"
        shims.mkdir()
        forks.write_python(shims / "python", settings, eager_training)
        env = os.environ | {"PATH": f"{shims}{os.pathsep}{os.environ['PATH']}", "TEXTAE_DATA": "data"}
        printed = []
        for language, text in blocks(page):
            command = {"sh": ["bash", "-eu", "-c", text], "python": [shims / "python", "-c", text]}
            made = subprocess.run(command[language], cwd=tmp_path, capture_output=True, text=True, timeout=900, env=env)
            assert made.returncode == 0, f"{text}\n{made.stderr}"
            printed.append(made.stdout)
        return printed

    run.place = tmp_path
    return run


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_every_page_with_blocks_to_run_is_followed():
    found = {path.name for path in DOCS.glob("*.md") if "<!-- run -->" in path.read_text(encoding="utf-8")}
    here = {"your-corpus.md", "chinese.md", "log-anomaly.md", "latents.md", "layer-alone.md", "jax-gpu.md"}
    assert found == here | {"python.md"}  # tests/api/test_python_page.py
    for page in found:
        assert len(blocks(page)) == (DOCS / page).read_text(encoding="utf-8").count("<!-- run -->")


def test_links_between_pages_lead_somewhere():
    for path in [*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert target.startswith("http") or (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.slow
def test_your_corpus(follow):
    place = follow.place
    with gzip.open(place / "reviews.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": line, "stars": i % 5}) + "\n" for i, line in enumerate(make_lines(300)))
    write(place / "train.txt", make_lines(300, seed=1))
    write(place / "test.txt", make_lines(40, seed=2))
    printed = follow("your-corpus.md", [*SMALL, "corpus.validation_share=0.1", "training.max_steps=5"])
    assert printed[0] == f"{place / 'reviews' / 'metrics.json'}\n"
    metrics = json.loads((place / "lines" / "metrics.json").read_text())
    assert metrics["documents"] == 40
    assert "| documents |" in (place / "reviews" / "README.md").read_text()
    assert (place / "test.out").read_bytes().count(b"\n") == 40
    assert json.loads(printed[2])["documents"] == 40


@pytest.mark.slow
def test_chinese(follow):
    """Lines composed of words learn to come back: most of them exactly."""
    place = follow.place
    words = (
        "我们 你们 他们 昨天 今天 明天 学校 图书馆 朋友 老师 学生 喜欢 认识 看见 一本 新的 旧的 中文 小说 "
        "在 和 去 买 写 读 了 很 多 城市 火车 飞机 因为 所以 但是 天气 下雨 咖啡 米饭 漂亮 安静"
    ).split()
    draw = random.Random(0)
    lines = ["".join(draw.choices(words, k=draw.randint(3, 9))) + draw.choice("。！？") for _ in range(800)]
    write(place / "chinese.txt", lines)
    unseen = ["".join(draw.choices(words, k=6)) + "。" for _ in range(30)]
    write(place / "lines.txt", unseen)
    own = [setting for setting in SMALL if "vocabulary" not in setting and "max_steps" not in setting]
    follow("chinese.md", [*own, "training.max_steps=120", "corpus.test_share=0.1"], eager_training=False)
    metrics = json.loads((place / "chinese" / "metrics.json").read_text())
    assert metrics["token_accuracy"] > 0.95
    assert metrics["cer"] < 0.05
    assert metrics["bleu"] > 80  # where a line is no single word
    back = (place / "lines.out").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(back) == 30
    assert sum(a == b for a, b in zip(back, unseen, strict=True)) > 20


@pytest.mark.slow
def test_jax_gpu(follow):
    """A run trained on JAX reconstructs the same on either backend."""
    pytest.importorskip("jax")
    place = follow.place
    write(place / "lines.txt", make_lines(300))
    quick = ["training.max_steps=8", "training.num_length_buckets=1", "training.warmup_steps=2"]
    follow("jax-gpu.md", [*SMALL, *quick, "corpus.validation_share=0.1", "corpus.test_share=0.1"])
    assert json.loads((place / "from_jax" / "environment.json").read_text())["backend"] == "jax"
    back = (place / "tensorflow.out").read_text(encoding="utf-8")
    assert back.count("\n") == 300
    assert back == (place / "jax.out").read_text(encoding="utf-8")


@pytest.mark.slow
def test_log_anomaly(follow):
    """The anomalies have high scores, on what Python says on this machine, and the highest by a baseline."""
    _, highest, compared, usual = follow("log-anomaly.md", LOG_SETTINGS, eager_training=False)
    anomalies = set((follow.place / "anomalies.log").read_text().splitlines())
    rows = [line.split("\t", 2) for line in highest.splitlines()]
    assert len(rows) == 10 and len({row[2] for row in rows} & anomalies) >= 2
    scores = [float(row[0]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    metrics = json.loads(compared)
    assert metrics["anomalies"] == 3 and metrics["auc"] > 0.95
    assert metrics["tfidf_nearest_neighbour_auc"] == 1 and metrics["character_trigrams_auc"] > 0.99
    assert len(usual.splitlines()) == 5
    today = (follow.place / "today.log").read_text(errors="replace").split("\n")
    assert all(today[int(number) - 1] == line for _, number, line in rows)


@pytest.mark.slow
@pytest.mark.compiled  # for many steps this is faster
def test_latents(follow, tiny_config):
    """What the classifier of the page finds in the latents of texts: which of two words they begin with."""
    from textae.training.fit import fit

    place = follow.place
    when = ("yesterday", "tomorrow")
    lines = list(dict.fromkeys(f"{when[i % 2]} {line}" for i, line in enumerate(make_lines(600))))
    write(place / "lines.txt", lines[:20])
    write(place / "corpus.txt", lines)
    (place / "labelled.jsonl").write_text(
        "".join(json.dumps({"text": line, "label": int(line.startswith("yesterday"))}) + "\n" for line in lines)
    )
    changes = {
        "corpus.files": [str(place / "corpus.txt")],
        "training.max_steps": 60,
        "model.channels": [32, 64],
        "model.latent_size": 32,
    }
    fit(tiny_config(**changes, data_dir=str(place / "data")), place / "reviews")
    printed = follow("latents.md", SMALL)
    assert float(printed[0].removeprefix("accuracy ")) > 0.8
    assert (place / "lines.out").read_bytes().count(b"\n") == 20
    assert printed[2] == "20 lines, 32 dimensions\n"
    assert printed[4] == "20 rows; file, line, latents, num_latents\n"
    assert printed[6].endswith(", 32)\n")


@pytest.mark.slow
@pytest.mark.compiled  # for many steps this is faster
def test_layer_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ((_, text),) = blocks("layer-alone.md")
    keras.utils.set_random_seed(0)
    names = {}
    exec(text, names)
    assert names["accuracy"] > 0.95
    assert capsys.readouterr().out.splitlines()[-1] == "(1, 7, 128)"
    assert names["again"].predict(names["ids"][:2], verbose=0).shape == (2, 21, 128)
    np.testing.assert_allclose(
        names["again"].predict(names["ids"][:2], verbose=0),
        names["model"].predict(names["ids"][:2], verbose=0),
        atol=1e-4,
    )
