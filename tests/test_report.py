"""The table of runs."""

import csv
import json

import pytest

from textae.config import TextConfig, to_mapping
from textae.report import collect, sorted_rows, table
from textae.rundir import METRICS, RunDir, write_csv, write_json


@pytest.fixture
def runs(tmp_path):
    """Three run folders that differ in seed and latent size; the last is not finished."""
    from textae.config import Config

    for name, seed, size, accuracy in (("a", 0, 64, 0.5), ("b", 1, 64, 0.75), ("c", 2, 32, None)):
        config = Config(corpus=TextConfig(files=["x.txt"]))
        config.training.seed, config.model.latent_size = seed, size
        run = RunDir(tmp_path / "sweep" / name)
        run.create(to_mapping(config), {})
        if accuracy is not None:
            write_json(run / METRICS, {"token_accuracy": accuracy, "loss": 1 - accuracy, "steps": 12345})
    return tmp_path / "sweep"


def test_only_finished_runs_and_only_what_differs_between_them(runs):
    rows, differing = collect(str(runs))
    assert [row["run"] for row in rows] == [str(runs / "a"), str(runs / "b")]
    assert differing == ["training.seed"]  # latent_size differs only in the unfinished run
    assert rows[1]["training.seed"] == 1
    assert rows[1]["token_accuracy"] == 0.75


def test_a_glob_names_runs_too(runs):
    rows, _ = collect(str(runs / "[ab]"))
    assert len(rows) == 2
    assert collect(str(runs / "b"))[0][0]["loss"] == 0.25


def test_no_finished_run_is_said(tmp_path, runs):
    with pytest.raises(ValueError, match="expected a folder with finished runs, found none"):
        collect(str(runs / "c"))


def test_the_best_run_comes_first(runs):
    rows, differing = collect(str(runs))
    lines = table(rows, differing, "token_accuracy").splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:4]] == ["run", "training.seed", "token_accuracy"]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["b", "a"]
    assert "12,345" in lines[2]
    assert [row["loss"] for row in sorted_rows(rows, "loss")] == [0.25, 0.5]


def test_sorting_by_what_no_run_has_is_refused(runs):
    rows, _ = collect(str(runs))
    with pytest.raises(ValueError, match="expected a metric of the runs, found 'bleu'"):
        sorted_rows(rows, "bleu")


def test_csv_has_every_column(runs, tmp_path):
    rows, _ = collect(str(runs))
    write_csv(tmp_path / "report.csv", rows)
    read = list(csv.DictReader((tmp_path / "report.csv").open(encoding="utf-8")))
    assert [row["steps"] for row in read] == ["12345", "12345"]
    assert float(read[0]["token_accuracy"]) == json.loads((runs / "a" / METRICS).read_text())["token_accuracy"]
