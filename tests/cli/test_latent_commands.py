"""What one does with a trained run: the commands' answers are those of the Python API, in the form they promise."""

import json
import os

import numpy as np
import pytest

import textae

pytestmark = [pytest.mark.usefixtures("small_pictures"), pytest.mark.backend_free]  # the API's answers, in a form

LINES = ["the red house", "", "a river runs often", "naïve 日本", "tab\tin it", "qzjw vkQ%&"]


@pytest.fixture(scope="module")
def run_folder(trained):
    return f"run={trained[0]}"


@pytest.fixture(scope="module")
def ae(trained):
    return textae.load(trained[0])


@pytest.fixture(scope="module")
def variational(tiny_config, tmp_path_factory):
    """A finished run with one vector per text that samples can be drawn from."""
    from textae.training.fit import fit

    folder = tmp_path_factory.mktemp("runs") / "variational"
    changes = {"model.latent": "vector", "model.variational": True, "model.overflow": "truncate"}
    fit(tiny_config(**changes, **{"training.max_steps": 5}), folder)
    return folder


def test_score_keeps_the_order_or_sorts(command, run_folder, ae):
    text = "\n".join(LINES)
    expected = ae.score(LINES)
    rows = [line.split("\t", 2) for line in command("score", run_folder, stdin=text)]
    assert [int(number) for _, number, _ in rows] == [1, 2, 3, 4, 5, 6]
    assert [line for _, _, line in rows] == LINES
    np.testing.assert_allclose([float(score) for score, _, _ in rows], expected, atol=1e-4)
    rows = [line.split("\t", 2) for line in command("score", run_folder, "sort=true", stdin=text)]
    assert [int(number) - 1 for _, number, _ in rows] == np.argsort(-expected, kind="stable").tolist()
    assert {(int(number), line) for _, number, line in rows} == set(enumerate(LINES, 1))
    assert command("score", run_folder) == []


def test_score_by_masked_passes(command, run_folder, ae):
    expected = ae.score(LINES, masked_passes=3)
    assert not np.allclose(expected, ae.score(LINES))
    rows = [line.split("\t", 2) for line in command("score", run_folder, "masked_passes=3", stdin="\n".join(LINES))]
    np.testing.assert_allclose([float(score) for score, _, _ in rows], expected, atol=1e-4)
    twice = ae.score([*LINES, *LINES[::-1]], masked_passes=3)
    np.testing.assert_allclose(twice, [*expected, *expected[::-1]], rtol=1e-4, atol=1e-5)
    ae.config.training.corruption.mask = 0.4  # as if it had been trained so
    try:
        np.testing.assert_allclose(ae.score(LINES), expected, rtol=1e-4, atol=1e-5)
        assert np.array_equal(ae.score(LINES, masked_passes=0), textae.load(run_folder[4:]).score(LINES))
    finally:
        ae.config.training.corruption.mask = 0.0
    for wrong in (1, -1):
        with pytest.raises(ValueError, match=f"masked_passes of (0 or )?at least [02].* {wrong}"):
            command("score", run_folder, f"masked_passes={wrong}", stdin="a")


def test_score_beside_baselines(command, run_folder, ae, tmp_path):
    text, labels, output = "\n".join(LINES), tmp_path / "labels", tmp_path / "rows.tsv"
    rows = [line.split("\t") for line in command("score", run_folder, "baseline=true", stdin=text)]
    width = len(rows[0]) - 3  # of the baselines; a line may have tabs of its own
    assert width in (3, 4) and [row[1] for row in rows] == list("123456")
    assert [float(row[2]) for row in rows][:3] == [0, 0, 0] and float(rows[5][2]) == 1  # unseen trigrams
    assert ["\t".join(row[2 + width :]) for row in rows] == LINES
    labels.write_text("0\n0\n0\n0\n0\n1\n")
    shown = command("score", run_folder, f"labels={labels}", f"output={output}", "baseline=true", stdin=text)
    found = json.loads("\n".join(shown))
    assert (found["lines"], found["anomalies"]) == (6, 1)
    assert found["auc"] == np.mean(ae.score(LINES)[:5] < ae.score(LINES)[5])
    assert found["character_trigrams_auc"] > 0.8 and len(output.read_text().splitlines()) == 6
    assert set(json.loads("\n".join(command("score", run_folder, f"labels={labels}", stdin=text)))) == {
        "lines", "anomalies", "auc", "average_precision",
    }  # fmt: skip
    labels.write_text("0\n1\n")
    with pytest.raises(ValueError, match="labels: expected one for each of 6 lines of the input, found 2"):
        command("score", run_folder, f"labels={labels}", stdin=text)
    labels.write_text("0\nodd\n")
    with pytest.raises(ValueError, match=r"labels: expected 0 or 1 in line 2 of .*, found 'odd'"):
        command("score", run_folder, f"labels={labels}", stdin=text)


def test_interpolate_begins_and_ends_with_the_texts(command, run_folder, ae):
    first, last = "the red house", "often a river runs"
    shown = command("interpolate", run_folder, "steps=4", stdin=f"{first}\n{last}\n")
    assert shown == [text.replace("\n", " ") for text in ae.interpolate(first, last, 4)]
    texts = ae.interpolate(first, last, 4)
    assert [texts[0], texts[-1]] == ae.decode(ae.encode([first, last]))
    assert len(texts) == 4
    with pytest.raises(ValueError, match=r"input: expected 2 lines .*, found more"):
        command("interpolate", run_folder, stdin="a\nb\nc\n")
    with pytest.raises(ValueError, match=r"input: expected 2 lines .*, found 1"):
        command("interpolate", run_folder, stdin="a\n")
    with pytest.raises(ValueError, match="expected steps of at least 2, received 1"):
        command("interpolate", run_folder, "steps=1", stdin="a\nb\n")


def test_arithmetic_of_a_text_taken_away_and_added(command, run_folder, ae):
    texts = ["the red house", "a large tree", "a river"]
    a, _, c = ae.encode(texts)
    assert len(a) != len(c)
    assert ae.arithmetic(texts[0], texts[1], texts[1]) == ae.decode([a])[0]
    assert ae.arithmetic(texts[0], texts[0], texts[2]) == ae.decode([c])[0]
    (shown,) = command("arithmetic", run_folder, stdin="\n".join(texts))
    assert shown == ae.arithmetic(*texts).replace("\n", " ")


def test_neighbours_of_documents_in_a_file(command, run_folder, ae, corpus_file, tmp_path):
    documents = corpus_file.read_text().split("\n")[:-1]
    queries = [documents[7], documents[100]]
    rows = [
        line.split("\t", 3)
        for line in command("neighbours", run_folder, f"documents={corpus_file}", "count=3", stdin="\n".join(queries))
    ]
    assert [(int(query), int(number), text) for query, _, number, text in rows[::3]] == [
        (1, 8, documents[7]),
        (2, 101, documents[100]),
    ]
    vectors = ae.embed(documents)
    assert vectors.shape == (len(documents), 16)
    np.testing.assert_allclose(vectors[7], ae.encode([documents[7]])[0].mean(axis=0), atol=1e-6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.sort(unit @ unit[7])[::-1]
    np.testing.assert_allclose([float(cosine) for _, cosine, _, _ in rows[:3]], cosines[:3], atol=1e-4)


def test_neighbours_beside_those_of_baselines(command, run_folder, corpus_file):
    documents = corpus_file.read_text().split("\n")[:-1]
    given = f"documents={corpus_file}", "count=2", "baselines=true"
    rows = [line.split("\t", 4) for line in command("neighbours", run_folder, *given, stdin=documents[7])]
    found = {name: (query, documents.index(text)) for name, query, _, _, text in rows[::2]}
    assert set(found) >= {"latent", "bag_of_words", "lsa"}
    assert len(rows) == 2 * len(found)
    assert found["latent"] == found["bag_of_words"] == ("1", documents.index(documents[7]))


def test_neighbours_in_the_corpus_of_the_run(command, run_folder, corpus_file, data_dir):
    text = "the small red house"
    rows = [
        line.split("\t", 3)
        for line in command("neighbours", run_folder, f"data_dir={data_dir}", "count=2", "split=test", stdin=text)
    ]
    assert len(rows) == 2
    assert all(row[3] in corpus_file.read_text().split("\n") for row in rows)
    with pytest.raises(ValueError, match=r"documents=FILE or corpus=\.\.\., and not both"):
        command("neighbours", run_folder, "documents=a", "corpus=pydocs", stdin=text)
    with pytest.raises(FileNotFoundError, match="documents: expected a file, found none at nowhere"):
        command("neighbours", run_folder, "documents=nowhere", stdin=text)


def test_neighbours_of_documents_from_where_the_input_comes_from(command, run_folder, tmp_path):
    """What one of them reads from a pipe is missing from the other: an empty answer."""
    texts = tmp_path / "texts.txt"
    texts.write_text("the red house\n")
    for given in ([], ["input=-"]):
        with pytest.raises(ValueError, match="expected input=FILE with documents=-, which takes all of standard input"):
            command("neighbours", run_folder, "documents=-", *given, stdin="the red house\n")
    rows = command("neighbours", run_folder, "documents=-", f"input={texts}", stdin="a river\nthe red house\n")
    assert rows[0] == "1\t1.0000\t2\tthe red house"
    rows = command("neighbours", run_folder, f"documents={texts}", f"input={texts}")
    assert rows == ["1\t1.0000\t1\tthe red house"]
    reading, writing = os.pipe()
    os.write(writing, b"the red house\n")
    os.close(writing)
    pipe = f"/dev/fd/{reading}"
    with pytest.raises(ValueError, match="expected input and documents of their own, found both from /dev/fd/"):
        command("neighbours", run_folder, f"documents={pipe}", f"input={pipe}")
    os.close(reading)


def test_samples_repeat_and_differ_by_seed(command, variational):
    shown = command("sample", f"run={variational}", "count=6", "seed=2")
    assert len(shown) == 6
    ae = textae.load(variational)
    assert shown == [text.replace("\n", " ") for text in ae.sample(6, seed=2)]
    from textae.inference.latent_operations import drawn

    assert ae.sample(6, seed=2) == ae.decode(drawn(6, 2, 16, None))
    assert not np.array_equal(drawn(6, 2, 16, None), drawn(6, 3, 16, None))


def test_samples_of_a_model_that_is_not_variational(command, run_folder, ae):
    with pytest.raises(ValueError, match="expected a run of a variational model"):
        command("sample", run_folder)
    with pytest.raises(ValueError, match="expected a run of a variational model"):
        ae.sample(1)


def test_vectors_are_their_own_embedding(variational):
    ae = textae.load(variational)
    np.testing.assert_array_equal(ae.embed(LINES), ae.encode(LINES))
    assert ae.embed([]).shape == (0, 16)
    assert len(ae.interpolate("a", "the large house", 3)) == 3


def test_latents_of_few_bits_are_decoded(command, run_folder, ae, tmp_path):
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    file = tmp_path / "lines.npz"
    assert command("encode", run_folder, f"input={tmp_path / 'lines.txt'}", f"output={file}", "bits=16") == []
    assert command("decode", run_folder, f"input={file}") == [text.replace("\n", " ") for text in ae.reconstruct(LINES)]
    for bits in (0, 17):
        with pytest.raises(ValueError, match=f"expected bits of at .*, received {bits}"):
            command("encode", run_folder, f"output={file}", f"bits={bits}")
    with pytest.raises(ValueError, match=r"latents of 8 bits a number to end in \.npz, found .*a\.npy"):
        command("encode", run_folder, f"output={tmp_path / 'a.npy'}", "bits=8")
