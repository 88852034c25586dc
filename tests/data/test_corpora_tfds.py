"""TFDS data sets by name: found, checked, split and copied; none of it with a network."""

import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from helpers.corpora import open_corpus
from textae.data.corpora import tfds as tfds_corpus

pytestmark = pytest.mark.backend_free

ROWS = {
    "train": [(f"review {n} \0 ☃", f"title {n}", n % 2) for n in range(500)],
    "test": [(f"test {n}", f"title {n}", n % 2) for n in range(20)],
    "extra": [(f"extra {n}", f"title {n}", n % 2) for n in range(30)],
}


class Reviews(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    TITLE = False
    name = "reviews"

    def _info(self):
        features = {"body": tfds.features.Text(), "stars": tfds.features.ClassLabel(num_classes=2)}
        if self.TITLE:
            features |= {"title": tfds.features.Text(), "weight": np.float32}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ROWS}

    def _generate_examples(self, split):
        for number, (body, title, stars) in enumerate(ROWS[split]):
            example = {"body": body, "stars": stars}
            yield number, example | ({"title": title, "weight": 0.5} if self.TITLE else {})


class TitledReviews(Reviews, skip_registration=True):
    TITLE = True
    name = "titled_reviews"


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (Reviews, TitledReviews):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def bodies(split):
    return [body for body, _, _ in ROWS[split]]


def fails(tmp_path, tfds_dir, match, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        open_corpus("tfds", tmp_path, tfds_dir=tfds_dir, **settings)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_prepared_data_set(tmp_path, tfds_dir):
    corpus = open_corpus("tfds", tmp_path, name="reviews", label="stars", tfds_dir=tfds_dir)
    assert corpus.name == "reviews"
    assert list(corpus.texts("test")) == bodies("test")
    assert list(corpus.labels("test")) == [stars for _, _, stars in ROWS["test"]]
    assert sorted([*corpus.texts("train"), *corpus.texts("validation")]) == sorted(bodies("train"))
    assert corpus.sizes["validation"] > 0


@pytest.mark.parametrize("file_format", ["parquet", "tfrecord"])
def test_other_formats(tmp_path, file_format):
    if file_format == "tfrecord":
        pytest.importorskip("tensorflow")
    Reviews(data_dir=tmp_path, file_format=file_format).download_and_prepare()
    corpus = open_corpus("tfds", tmp_path / "data", name="reviews", tfds_dir=tmp_path, label="stars")
    assert list(corpus.texts("test")) == bodies("test")
    assert list(corpus.labels("test")) == [stars for _, _, stars in ROWS["test"]]


WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] == "tensorflow" else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
from textae.config.schema import TfdsConfig
from textae.data import corpora
corpus = corpora.open_corpus(TfdsConfig(name="reviews", tfds_dir=sys.argv[2], label="stars"), Path(sys.argv[1]))
sys.stdout.write(next(corpus.texts("test")) + str(next(corpus.labels("test"))))
"""


def test_tensorflow_need_not_be_installed(tmp_path, tfds_dir):
    def read(folder):
        command = [sys.executable, "-c", WITHOUT_TENSORFLOW, tmp_path / "data", folder]
        return subprocess.run(command, capture_output=True, text=True)

    assert read(tfds_dir).stdout == "test 00"
    Reviews(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    message = "reviews: expected a format that is read without TensorFlow, which is not installed, found tfrecord"
    assert message in read(tmp_path).stderr


def test_tfds_data_dir_is_the_default_place(tmp_path, tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    assert list(open_corpus("tfds", tmp_path, name="reviews").texts("test")) == bodies("test")


def test_splits_can_be_named(tmp_path, tfds_dir):
    splits = {"train": "train[:90%]", "validation": "train[90%:]", "test": "extra"}
    corpus = open_corpus("tfds", tmp_path, name="reviews", tfds_dir=tfds_dir, splits=splits)
    assert list(corpus.texts("train")) == bodies("train")[:450]
    assert list(corpus.texts("validation")) == bodies("train")[450:]
    assert list(corpus.texts("test")) == bodies("extra")


def test_text_and_label_fields(tmp_path, tfds_dir):
    settings = {"name": "titled_reviews", "tfds_dir": tfds_dir}
    corpus = open_corpus("tfds", tmp_path, **settings, field="title", label="body", max_characters=7)
    assert next(corpus.texts("test")) == "title 0"
    assert next(corpus.labels("test")) == "test 0"
    fails(tmp_path, tfds_dir, "expected field=NAME .*found body, title", name="titled_reviews")
    fails(
        tmp_path,
        tfds_dir,
        r"a Text feature \(body, title\), found stars",
        name="titled_reviews",
        field="stars",
    )
    fails(
        tmp_path,
        tfds_dir,
        "one of body, stars, title, weight, found mood",
        **{"name": "titled_reviews", "field": "body", "label": "mood"},
    )


def test_wrong_splits(tmp_path, tfds_dir):
    fails(tmp_path, tfds_dir, "expected keys out of train, .*found dev", name="reviews", splits={"dev": "x"})
    match = "expected splits out of extra, test, train, found none|expected splits out of .*, found none"
    fails(tmp_path, tfds_dir, match, name="reviews", splits={"test": "none"})


def test_names_that_are_unknown(tmp_path, tfds_dir):
    fails(tmp_path, tfds_dir, r"such as .*imdb_reviews.*, found imdb_review", name="imdb_review")
    fails(tmp_path, tfds_dir, r"a data set \(such as ag_news_subset, .*found ag_newz", name="ag_newz")
    fails(tmp_path, tfds_dir, r"a config of glue \(such as cola, .*found colla", name="glue", config="colla")
    fails(tmp_path, tfds_dir, "only: 1.0.0", name="imdb_reviews:9.9.9")


def test_an_unprepared_data_set_without_network(tmp_path, tfds_dir, monkeypatch):
    monkeypatch.setattr(tfds_corpus, "_reachable", lambda builder: False)
    start = time.monotonic()
    match = "expected ag_news_subset/1.0.0 prepared in .*, found neither it nor a network: run tfds build"
    fails(tmp_path, tfds_dir, match, name="ag_news_subset")
    assert time.monotonic() - start < 10


def test_a_host_that_never_answers_is_given_up_in_seconds(monkeypatch):
    import requests

    monkeypatch.setattr(tfds_corpus, "_SECONDS_TO_CONNECT", 0.2)
    monkeypatch.setattr(requests, "head", lambda *_, **__: time.sleep(3))
    start = time.monotonic()
    assert not tfds_corpus._reachable(type("Builder", (), {"url_infos": {"https://a.example/x": None}}))
    assert time.monotonic() - start < 1
    monkeypatch.setattr(requests, "head", lambda *_, **__: None)
    assert tfds_corpus._reachable(type("Builder", (), {"url_infos": None}))


def test_a_download_that_fails(tmp_path, tfds_dir, monkeypatch):
    def broken(self, **settings):
        raise OSError("the disk\nis full")

    monkeypatch.setattr(tfds_corpus, "_reachable", lambda builder: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", broken)
    fails(
        tmp_path,
        tfds_dir,
        "expected to prepare ag_news_subset/1.0.0, found the disk is full",
        name="ag_news_subset",
    )
