"""TensorBoard in a browser: each dashboard shows a real run's data."""

import html
import json
import random
import re
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from helpers.browser import chromium

pytestmark = pytest.mark.slow

WORDS = "小 大 红色 蓝色 房子 树 河 跑 睡觉 唱歌 在 下面 上面 附近 从不 经常 和".split()
SECONDS = 240  # for a page to show something

# What a page shows, through shadow roots and frames: its text without white space, and how many images are there.
WALK = """
let text = "", images = 0;
function walk(node) {
    for (const child of node.childNodes) {
        if (child.nodeType === Node.TEXT_NODE) text += child.textContent;
        if (child.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE"].includes(child.tagName)) continue;
        if (child.tagName === "IMG" && child.naturalWidth > 100) images += 1;
        if (child.tagName === "IFRAME" && child.contentDocument) walk(child.contentDocument);
        if (child.shadowRoot) walk(child.shadowRoot);
        walk(child);
    }
}
walk(document.body);
return {text: text.replace(/\\s/g, ""), images};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window."""
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(browser, forks, tmp_path_factory):
    """The folder of a sweep of two jobs, on a Chinese corpus with labels."""
    folder = tmp_path_factory.mktemp("board")
    draw = random.Random(0)
    lines = ["".join(draw.choices(WORDS, k=draw.randint(2, 9))) + "。" for _ in range(400)]
    documents = [json.dumps({"text": line, "label": "long" if len(line) > 9 else "short"}) for line in lines]
    labelled = folder / "labelled.jsonl"
    labelled.write_text("".join(document + "\n" for document in documents))
    settings = [
        "tokenizer=bytes", "model.channels=[16,32]", "model.max_length=32", "training=debug", "training.max_steps=6",
        "training.tokens_per_batch=512", "training.num_length_buckets=2", "training.eval_every_steps=6",
        "training.log_every_steps=2",
        "corpus=text", f"corpus.files=[{labelled}]", "corpus.field=text", "corpus.label=label",
        "corpus.test_share=0.1", "corpus.validation_share=0.1", f"data_dir={folder / 'data'}",
    ]  # fmt: skip
    sweep = ["-m", *settings, "model.latent_size=8,12", f"hydra.sweep.dir={folder / 'sweep'}"]
    made = forks.run(sweep, cwd=folder, pictures=True)
    assert made.code == 0, made.errors
    assert made.errors.splitlines()[-1] == f"to look at the runs: tensorboard --logdir {folder / 'sweep'}"
    return folder / "sweep"


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    """Where TensorBoard shows these runs."""
    start = "import sys; sys.modules['tensorflow'] = None; from tensorboard.main import run_main; run_main()"  # sooner
    command = [sys.executable, "-c", start, "--logdir", str(runs), "--host", "127.0.0.1", "--port", "0"]
    log_file = tmp_path_factory.mktemp("log") / "tensorboard.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    found, deadline = None, time.monotonic() + SECONDS
    while found is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        found = re.search(r"TensorBoard \S+ at (http://\S+)", log_file.read_text())
    assert found, log_file.read_text()
    yield found[1]
    process.kill()
    process.wait()


@pytest.fixture
def page(browser, address):
    """A function: open a dashboard, wait until it shows some texts, and return what it shows."""

    def opened(dashboard, *texts, images=0):
        browser.get("about:blank")
        browser.get(f"{address}#{dashboard}")
        wanted = [re.sub(r"\s", "", text) for text in texts]
        deadline = time.monotonic() + SECONDS
        while True:
            shown = browser.execute_script(WALK)
            missing = [text for text in wanted if text not in shown["text"]]
            if not missing and shown["images"] >= images:
                return shown["text"]
            if time.monotonic() > deadline:
                pytest.fail(f"{dashboard} lacks {missing}, has {shown['images']} images and {shown['text'][-3000:]}")
            time.sleep(0.3)

    return opened


SPLITS = [f"{run}/{split}" for run in ("0", "1") for split in ("train", "validation", "test")]
# Where the cards of the Time Series dashboard are: (title, its width in full, the width it has, left, top, bottom).
CARDS = """
return [...document.querySelectorAll("card-view")].map(card => {
    const title = card.querySelector("tb-truncated-path"), box = card.getBoundingClientRect();
    if (!title) return null;
    const first = title.querySelector(".first-text-part");  // which is cut where there is no room
    return [title.title, first.scrollWidth, first.clientWidth, box.left, box.top, box.bottom];
}).filter(Boolean);
"""


def test_it_opens_on_loss_and_accuracy(page, browser):
    """Without a dashboard's name: the first cards are whole on the screen, beside each other, with titles uncut."""
    page("", "1_quality", "2_quality_details", *SPLITS)
    deadline = time.monotonic() + SECONDS
    while len(cards := browser.execute_script(CARDS)) < 2 and time.monotonic() < deadline:
        time.sleep(0.3)
    (loss, *of_loss), (accuracy, *of_accuracy) = cards[:2]
    assert (loss, accuracy) == ("1_quality/loss", "1_quality/token_accuracy")
    assert of_loss[3] == of_accuracy[3] and of_loss[2] < of_accuracy[2]
    for whole, shown, _, top, bottom in (of_loss, of_accuracy):
        assert 0 < whole <= shown
        assert 0 < top < bottom < browser.execute_script("return window.innerHeight")
    page("timeseries&tagFilter=bleu", "bleu", "0/validation", "1/validation")


def test_scalars(page):
    groups = ["1_quality", "2_quality_details", "3_training", "4_latent", "5_speed", "8_run"]
    shown = page("scalars", *groups, "tag: 1_quality/loss", "tag: 1_quality/token_accuracy", *SPLITS)
    places = [shown.index(group) for group in groups]
    assert places == sorted(places)
    for found in ("3_training/gradient_norm", "3_training/learning_rate", "5_speed/tokens_per_second"):
        page(f"scalars&tagFilter={found}", f"tag: {found}")


def test_custom_scalars_put_train_beside_validation(page):
    charts = ["loss", "token accuracy", "exact match", "BLEU", "character and word error rate"]
    shown = page("custom_scalars", "train beside validation", *charts, *SPLITS)
    assert "invalid" not in shown.lower()


def test_text(page, runs):
    events = EventAccumulator(str(runs / "1" / "test"))
    events.Reload()
    (written,) = tensor_util.make_ndarray(events.Tensors("reconstructions/text_summary")[0].tensor_proto).ravel()
    heading = re.search("<h4>(.*?)</h4>", written.decode())[1]
    assert heading.startswith("worst: ")
    lines = html.unescape(re.sub("<.*?>", "", re.search("<pre>(.*?\n.*?)\n", written.decode())[1]))
    original, reconstruction = lines.split("\n")
    assert original != reconstruction
    assert re.search("[\u4e00-\u9fff]", original)
    page("text", heading, original + reconstruction, "typical: ")


FIGURES = ("quality_by_length", "accuracy_by_position", "accuracy_by_phase")


def test_images(page):
    names = ["4_latent/latent_variance", *(f"6_figures/{name}" for name in FIGURES)]
    for name in names:
        page(f"images&tagFilter={name}", f"tag: {name}", images=1)


def test_histograms(page):
    page("histograms", "4_latent", "7_weights", "tag: 4_latent/latents")


def test_hparams_have_a_row_for_each_job(page, runs):
    shown = page("hparams", "0/test", "1/test", "model.latent_size", "1_quality/loss")
    columns = shown.partition("ShowMetrics")[2].partition("0/test")[0]
    assert columns.startswith("model.latent_size")  # what differs, and of the metrics the objective
    assert re.search(r"[a-z.]1_quality/loss", columns) and "data_dir" not in columns
    for job, size in (("0", 8), ("1", 12)):
        metrics = json.loads((runs / job / "metrics.json").read_text())
        row = shown.partition(f"{job}/test")[2]
        assert f"{size:.4f}" in row or f"{size:.3f}" in row
        assert f"{metrics['loss']:.4f}" in row


def test_projector(page, runs):
    metrics = json.loads((runs / "1" / "metrics.json").read_text())
    shown = page("projector", "latents, step 6", f"Points: {metrics['documents']}", "Dimension:")
    assert "Labelbytextlabeltokenstoken_accuracy" in shown
