"""Lists, columns, tables and files as settings of a corpus."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textae.api.texts import corpus_settings

pytestmark = pytest.mark.backend_free

TEXTS = ["one", "a\nb", "", "ü 日本"]


class Table:
    """What a data frame of pandas or Polars, of one column of texts and one of numbers, has in common."""

    columns = ("body", "number")

    def __getitem__(self, name):
        return {"body": iter(TEXTS), "number": iter(range(4))}[name]


class Rows:
    """What a split of Hugging Face has: the names of columns, features, and rows as mappings."""

    column_names = ("text", "label")
    features = ("text", "label")

    def __iter__(self):
        return ({"text": text, "label": 1} for text in TEXTS)


@pytest.mark.parametrize(
    "texts,field",
    [
        (TEXTS, None),
        (tuple(TEXTS), None),
        (iter(TEXTS), None),
        (np.array(TEXTS, object), None),
        (np.array(TEXTS), None),
        (pa.chunked_array([TEXTS]), None),
        (pa.table({"text": TEXTS, "n": [1, 2, 3, 4]}), None),
        (pa.table({"body": TEXTS}), None),
        (Table(), "body"),
        (Rows(), None),
        ([{"body": text} for text in TEXTS], "body"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_texts_are_written_to_a_file_once(tmp_path, texts, field):
    settings = corpus_settings(texts, tmp_path / "given", field=field)
    assert settings.keys() == {"corpus", "corpus.field", "corpus.files"}
    assert (settings["corpus"], settings["corpus.field"]) == ("text", "text")
    (name,) = settings["corpus.files"]
    assert pq.read_table(name)["text"].to_pylist() == TEXTS
    assert corpus_settings(TEXTS, tmp_path / "given") == settings
    assert [path.name for path in (tmp_path / "given").iterdir()] == [Path(name).name]
    assert corpus_settings(["onea", "\nb", "", "ü 日本"], tmp_path / "given") != settings


def test_columns_of_data_frames(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"body": TEXTS, "label": [1, 2, 3, 4]})
    for texts, field in ((frame, "body"), (frame["body"], None)):
        (name,) = corpus_settings(texts, tmp_path, field=field)["corpus.files"]
        assert pq.read_table(name)["text"].to_pylist() == TEXTS
    with pytest.raises(ValueError, match=r"texts with a column text \(field=NAME names another\), found body, label"):
        corpus_settings(frame, tmp_path)
    with pytest.raises(TypeError, match=r"expected texts\[1\] as a string, received float"):
        corpus_settings(pandas.Series(["a", float("nan")], dtype=object), tmp_path)


@pytest.mark.parametrize(
    "texts,arguments,expected",
    [
        (None, {}, {}),
        (None, {"field": "a"}, {"corpus.field": "a"}),
        (
            "tfds:ag_news_subset",
            {"field": "d"},
            {"corpus": "tfds", "corpus.name": "ag_news_subset", "corpus.field": "d"},
        ),
        (Path("a.txt"), {}, {"corpus": "text", "corpus.files": ["a.txt"]}),
        (
            [Path("a"), Path("b")],
            {"test_texts": Path("c"), "field": "x"},
            {"corpus": "text", "corpus.files": ["a", "b"], "corpus.test_files": ["c"], "corpus.field": "x"},
        ),
    ],
)
def test_files_and_data_sets_are_named(tmp_path, texts, arguments, expected):
    assert corpus_settings(texts, tmp_path / "given", **arguments) == expected
    assert not (tmp_path / "given").exists()


def test_a_text_that_is_none_leaves_no_file(tmp_path):
    with pytest.raises(TypeError, match=r"expected test_texts\[1\] as a string, received None"):
        corpus_settings(["a"], tmp_path, test_texts=["b", None])
    assert len(list(tmp_path.iterdir())) == 1  # of texts
