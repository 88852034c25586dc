"""The demo page in a browser: each element is used, and shows what the package answers."""

import json
import re
import subprocess
import sys
import time

import pytest

import textae
from helpers.browser import chromium
from textae.evaluation.metrics import step_sizes

pytestmark = [pytest.mark.slow, pytest.mark.backend_free]

SECONDS = 120  # for something to show
TEXT = "often the small red house"
HOSTILE = "<img src=x onerror=alert(1)> {{7*7}} ${1+1} `a`"
# The command, with a line in a file for each host that it connects to.
START = """
import runpy, sys
log = open(sys.argv.pop(1), "a", buffering=1)
def hook(event, given):
    if event == "socket.connect" and isinstance(given[1], tuple):
        print(given[1][0], file=log)
    if event == "socket.getaddrinfo":
        print(given[0], file=log)
sys.addaudithook(hook)
runpy.run_module("textae.demo", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window."""
    pytest.importorskip("gradio")
    with chromium(tmp_path_factory.mktemp("chromium"), log=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """The file of the hosts that the command connects to."""
    return tmp_path_factory.mktemp("hosts") / "hosts.txt"


@pytest.fixture(scope="module")
def address(browser, trained, data_dir, hosts):
    """Where the page is."""
    arguments = [f"run={trained[0]}", "port=0", f"data_dir={data_dir}"]
    command = [sys.executable, "-c", START, str(hosts), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        found = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", found)
        yield found
        process.kill()


@pytest.fixture(scope="module")
def ae(trained):
    return textae.load(trained[0])


@pytest.fixture(scope="module")
def page(browser, address):
    """The page, once it shows its first reconstruction."""
    browser.get(address)
    shows(browser, "#reconstruction", "Reconstruction")
    return browser


def element(page, selector):
    return page.find_element("css selector", selector)


def shows(page, selector, *texts, without=()):
    """Wait until an element shows texts, and none of others; return what it shows."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = page.execute_script(f"return document.querySelector({json.dumps(selector)})?.innerText || ''")
        if all(text in found for text in texts) and not any(text in found for text in without):
            return found
        assert time.monotonic() < deadline, f"{selector} lacks {texts} or has {without}: {found[-2000:]}"
        time.sleep(0.1)


def written(page, selector, text):
    """Write into a field in place of what it holds."""
    element(page, selector).send_keys("\ue009a\ue000", text)  # Ctrl-A, and Ctrl no more


def opened(page, tab):
    (found,) = [button for button in page.find_elements("css selector", "button[role=tab]") if button.text == tab]
    found.click()


def rows(page, selector):
    """The cells of each row of the tables in an element."""
    script = """return [...document.querySelectorAll(arguments[0] + " tbody tr")].map(
        row => [...row.children].map(cell => cell.innerText))"""
    return page.execute_script(script, selector)


def images(page):
    """How many pictures of latents are drawn, and how wide they are."""
    script = "return [...document.querySelectorAll('#latents img')].map(image => image.naturalWidth)"
    return page.execute_script(script)


def test_a_text_its_latents_and_its_reconstruction(page, ae):
    assert page.title == "textae: trained"
    assert [tab.text for tab in page.find_elements("css selector", "button[role=tab]")] == [
        "Reconstruct", "Interpolate", "Neighbours", "Anomalies",
    ]  # fmt: skip
    shows(page, "body", "16 floats for 4 tokens", "trained")
    assert element(page, "#text textarea").get_attribute("value")
    written(page, "#text textarea", TEXT)
    shown = shows(page, "#reconstruction .original", "red")
    assert shown.replace("␣", " ").replace("∅", "") == TEXT
    reconstructed = ae.reconstruct([TEXT])[0]
    shown = shows(page, "#reconstruction .reconstruction")
    assert shown.replace("␣", " ").replace("∅", "") == reconstructed
    shows(page, "#latents", "7 latents of 16 floats")
    (width,) = images(page)
    assert width > 500
    shows(page, "#reconstruction", f"of {len(TEXT) + 1}", "token accuracy", without=["at most"])


def test_sliders_of_noise_and_bits(page):
    clean = shows(page, "#reconstruction .facts")
    written(page, "#noise input[type=number]", "0.9\t")
    noisy = shows(page, "#reconstruction .facts", "that the noise leaves at most")
    assert int(noisy.split()[0]) > int(clean.split()[0])
    assert page.find_elements("css selector", "#reconstruction mark.wrong")
    shown = shows(page, "#reconstruction .reconstruction")
    written(page, "#seed input", "7\t")
    deadline = time.monotonic() + SECONDS
    while shows(page, "#reconstruction .reconstruction") == shown:
        assert time.monotonic() < deadline, "another seed shows the same"
        time.sleep(0.1)
    written(page, "#noise input[type=number]", "0\t")
    assert shows(page, "#reconstruction .facts", without=["at most"]) == clean
    stored = re.search(r"(\d+)\s*bits per token, stored", clean)[1]
    written(page, "#bits input[type=number]", "1\t")
    few = shows(page, "#reconstruction .facts", without=[f"{stored}\n"])
    assert round(int(stored) / 32) == int(re.search(r"(\d+)\s*bits per token, stored", few)[1])
    slider = element(page, "#bits input[type=range]")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("1", "32")
    written(page, "#bits input[type=number]", "32\t")
    assert shows(page, "#reconstruction .facts", f"{stored}\n") == clean


def test_any_text_is_shown_as_it_is(page):
    written(page, "#text textarea", HOSTILE)
    shown = shows(page, "#reconstruction .original", "onerror", "7*7", "a")
    assert shown.replace("␣", " ").replace("∅", "") == HOSTILE
    assert len(page.find_elements("css selector", "#reconstruction img")) == 0


def test_interpolation(page, ae):
    opened(page, "Interpolate")
    written(page, "#first textarea", TEXT)
    written(page, "#last textarea", "a river")
    written(page, "#steps input[type=number]", "5\t")
    element(page, "#interpolate").click()
    texts = ae.interpolate(TEXT, "a river", 5)
    sizes = step_sizes(texts)
    shown = shows(page, "#interpolation", "0.25 each", f"{sum(sizes):.2f} together")
    assert f"{min(sizes):.2f} to {max(sizes):.2f}" in shown
    assert [row[:2] for row in rows(page, "#interpolation")] == [
        [f"{i}", f"{size:.2f}" if i > 1 else ""] for i, size in enumerate([0, *sizes], 1)
    ]


def test_neighbours_of_pasted_documents_and_of_a_file(page, ae, tmp_path):
    opened(page, "Neighbours")
    documents = ["a large tree", HOSTILE, TEXT, "the river"]
    written(page, "#query textarea", TEXT)
    element(page, "#find").click()
    shows(page, "body", "expected lines that are pasted or a file, found neither")
    written(page, "#documents textarea", "\n".join(documents))
    written(page, "#count input[type=number]", "2\t")
    element(page, "#find").click()
    shows(page, "#neighbours", "by latents", "by bag of words")
    found = rows(page, "#neighbours")
    assert found[0] == ["1.0000", "3", TEXT] == found[2] and len(found) == 4
    near = ae.neighbours([TEXT], documents, 2)[0][1]
    assert found[1] == [f"{near.similarity:.4f}", f"{near.number + 1}", near.text]
    element(page, "#neighbours-baseline input").click()
    file = tmp_path / "documents.txt"
    file.write_text(f"one\n{TEXT}\n")
    written(page, "#documents textarea", "\ue017")  # Delete
    element(page, "#documents-file input[type=file]").send_keys(str(file))
    shows(page, "#documents-file", "documents")
    element(page, "#find").click()
    shows(page, "#neighbours", "one", without=["by bag of words"])
    assert rows(page, "#neighbours")[0] == ["1.0000", "2", TEXT]


def test_anomalies_of_a_pasted_log(page, ae):
    opened(page, "Anomalies")
    log = ["the red house", "qzjw vkQ%&", "a river runs often"]
    written(page, "#log textarea", "\n".join(log))
    element(page, "#score").click()
    shows(page, "#anomalies", "3 lines")
    scores = ae.score(log)
    order = sorted(range(3), key=lambda i: -scores[i])
    assert rows(page, "#anomalies") == [[f"{scores[i]:.4f}", f"{i + 1}", log[i]] for i in order]
    element(page, "#anomalies-baseline input").click()
    element(page, "#score").click()
    shows(page, "#anomalies", "character trigrams", "tfidf nearest neighbour", "isolation forest")
    assert rows(page, "#anomalies")[0][:2] == [f"{scores[1]:.4f}", "1.0000"]


def test_nothing_is_asked_of_other_machines(page, address, hosts):
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert len(asked) > 10
    assert [url for url in asked if re.match("(https?|wss?|ftp):", url) and not url.startswith(address)] == []
    assert set(hosts.read_text().split()) <= {"127.0.0.1", "localhost", "None"}
