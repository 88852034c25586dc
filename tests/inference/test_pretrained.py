"""The model that the package brings along: it loads offline on either backend, and does what its card says."""

import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest

import textae
from textae.config.run_names import pretrained_models
from textae.evaluation.evaluator import evaluate
from textae.runs.run_folder import CARD

NAME = "pydocs-small"
FOLDER = pretrained_models()[NAME]
SENTENCES = (Path(__file__).parents[2] / "scripts" / "other_english.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def ae(tmp_path_factory):
    """Loaded where nothing can be asked for, from a folder in which nothing is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
        patch.chdir(tmp_path_factory.mktemp("empty"))
        return textae.load(NAME)


def test_it_reconstructs_embeds_and_scores_at_once(ae):
    texts = [*SENTENCES[:8], "", "  spaces\tand\nlines ", "naïve 日本 ☃"]
    found = ae.reconstruct(texts)
    assert found[:8] == texts[:8] and found[8:10] == texts[8:10]
    assert ae.decode(ae.encode(texts)) == found
    vectors = ae.embed(texts)
    assert vectors.shape == (len(texts), 32) and np.isfinite(vectors).all()
    assert ae.neighbours([texts[0]], texts[:8], 1)[0][0].text == texts[0]
    scores = ae.score(texts)
    assert scores.shape == (len(texts),) and (scores[:8] < 0.1).all()


def test_the_card_says_what_is_measured(ae):
    """The figures of other English in the model card are those that the packed weights give."""
    card = (FOLDER / CARD).read_text(encoding="utf-8")
    row = re.search(r"^\| other English \| half, as packed \| (.*) \|$", card, re.MULTILINE)
    said = [float(value) for value in row[1].split(" | ")]
    metrics = evaluate(ae, SENTENCES).metrics
    measured = [metrics[name] for name in ("token_accuracy", "exact_match", "bleu", "cer", "loss")]
    np.testing.assert_allclose(measured, said, rtol=1e-3, atol=2e-4)


def test_noise_gives_variations(ae):
    """With noise on the latents, reconstructions of one text differ from call to call."""
    noisy = textae.load(NAME, latent_noise=0.8)
    first, second = (noisy.reconstruct(SENTENCES[:4]) for _ in range(2))
    assert first != second and first != SENTENCES[:4]


@pytest.mark.backend_free
def test_the_folder_is_small_and_says_its_licence():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 5_000_000
    assert "Python Software Foundation" in (FOLDER / "LICENSE-corpus.txt").read_text(encoding="utf-8")
    assert "PSF License" in (FOLDER / CARD).read_text(encoding="utf-8")
    described = (FOLDER / "environment.json").read_text(encoding="utf-8")
    assert json.loads(described)["command"] == ["train.py", "+experiment=pydocs_small", "corpus.packages=false"]
    for path in (FOLDER / CARD, FOLDER / "environment.json", FOLDER / "config.yaml"):
        assert not re.search(r"(?<![\w.:/])/(home|root|tmp|work)/", path.read_text(encoding="utf-8")), path


@pytest.mark.backend_free
def test_commands_take_its_name(forks, tmp_path):
    lines = "".join(line + "\n" for line in SENTENCES[:3]).encode()
    ended = forks.run([f"run={NAME}"], command="reconstruct", cwd=tmp_path, input=lines)
    assert (ended.code, ended.output) == (0, lines), ended.errors
    ended = forks.run([f"run={NAME}"], command="score", cwd=tmp_path, input=lines)
    assert ended.code == 0 and len(ended.output.splitlines()) == 3, ended.errors
    ended = forks.run(["run=pydocs-smal"], command="reconstruct", cwd=tmp_path, input=lines)
    assert ended.code == 2
    assert ended.errors.endswith(f"found no folder pydocs-smal; the pretrained models are: {NAME}\n")
