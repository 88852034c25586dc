"""The table of runs."""

import csv
import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from textae.cli.sweep_table import SweepTable
from textae.config.mapping import to_mapping
from textae.config.registration import config_dir, register
from textae.config.schema import Config, TextConfig
from textae.report import main
from textae.reporting.run_table import _short_names, collect, plot, sorted_rows, table
from textae.runs.json_files import write_json
from textae.runs.run_folder import CONFIG, ENVIRONMENT, HISTORY, METRICS, RunDir

pytestmark = pytest.mark.backend_free


def make(folder, seed, size, **metrics):
    config = Config(corpus=TextConfig(files=["x.txt"]))
    config.training.seed, config.model.latent_size, config.data_dir = seed, size, str(folder)
    run = RunDir(folder)
    run.create(to_mapping(config), {})
    if metrics:
        write_json(run / METRICS, metrics)
    return run


@pytest.fixture
def runs(tmp_path):
    """A folder of four runs: two are finished, one has been validated, one has begun."""
    folder = tmp_path / "sweep"
    make(folder / "a", 0, 64, token_accuracy=0.5, loss=0.25, steps=12345, tokens_per_second=1000.0)
    make(folder / "b", 1, 64, token_accuracy=0.75, loss=0.5, steps=12345, tokens_per_second=2000.0)
    make(folder / "c", 2, 32).write_history([{"step": 100, "loss": 3.0}, {"step": 200, "loss": 2.0}])
    make(folder / "d", 3, 32)
    return folder


def cells(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def test_runs_and_only_what_differs_between_them(runs):
    rows, differing = collect(str(runs))
    assert [row["run"] for row in rows] == [str(runs / name) for name in "abcd"]
    assert differing == ["model.latent_size", "training.seed"]  # and not where the corpora lie
    assert [row["state"] for row in rows] == ["finished", "finished", "step 200", "begun"]
    assert (rows[1]["training.seed"], rows[1]["token_accuracy"]) == (1, 0.75)
    assert "loss" not in rows[2]


def test_a_glob_names_runs_too(runs):
    rows, differing = collect(str(runs / "[ab]"))
    assert (len(rows), differing) == (2, ["training.seed"])
    assert collect(str(runs / "b"))[0][0]["loss"] == 0.5


def test_no_run_is_said(tmp_path, runs):
    with pytest.raises(ValueError, match="expected a folder with runs, found none in"):
        collect(str(tmp_path / "nothing"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CONFIG).write_text("of: another program")
    with pytest.raises(ValueError, match="expected a folder with runs"):
        collect(str(tmp_path / "other"))


def test_what_cannot_be_read_is_named_and_left_out(runs, capsys):
    (runs / "a" / METRICS).write_text("{")
    (runs / "d" / ENVIRONMENT).write_text('{"format": 99}')
    rows, _ = collect(str(runs))
    assert [row["run"] for row in rows] == [str(runs / "b"), str(runs / "c")]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"left out: {runs / 'a'}: {runs / 'a' / METRICS} is damaged")
    assert "format 2 or 3, found 99" in said[1]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        (HISTORY, "loss\n3.0\n", r"metrics\.csv is damaged: expected a column step, found 'loss'"),
        (HISTORY, "step,loss\nmany,3.0\n", "expected the number of a step in its last row, found 'many'"),
        (HISTORY, "step,loss\n1\n", r"metrics\.csv is damaged"),
        (HISTORY, f"step,loss\n1,{'x' * 200_000}\n", r"metrics\.csv is damaged: expected rows of at most 100,000 char"),
        (
            METRICS,
            '{"loss": 0.1, "tokens_per_second": "fast"}',
            "expected tokens_per_second to be a finite number, found 'f",
        ),
        (METRICS, '{"loss": true}', "expected loss to be a finite number, found True"),
        (METRICS, '{"loss": 1e999}', "expected loss to be a finite number, found inf"),
        (METRICS, '{"loss": NaN}', "expected numbers that are finite, found NaN"),
        (METRICS, f'{{"loss": {"9" * 400}}}', "expected loss to be a finite number, found 99"),
        (METRICS, json.dumps({f"m{i}": i for i in range(2000)}), "expected at most 1,000 metrics, found 2,000"),
        (CONFIG, "corpus: {kind: text, files: [a]}\nnope: 1\n", "expected a run's settings: Key 'nope'"),
    ],
)
def test_a_run_with_other_things_in_its_figures(runs, capsys, file, content, why):
    (runs / "c" / file).write_text(content)
    rows, differing = collect(str(runs))
    assert [Path(row["run"]).name for row in rows] == ["a", "b", "d"]
    [said] = capsys.readouterr().err.splitlines()
    assert re.match(rf"left out: {re.escape(str(runs / 'c'))}: .*{why}", said)
    assert len(table(rows, differing, "loss").splitlines()) == 5


def test_links_and_large_files_are_left_out_and_not_read(runs, capsys):
    (runs / "c" / HISTORY).unlink()
    (runs / "c" / HISTORY).symlink_to("/etc/passwd")
    with (runs / "d" / HISTORY).open("wb") as file:
        file.truncate(6 << 30)
    (runs / "a" / ENVIRONMENT).unlink()
    (runs / "a" / ENVIRONMENT).symlink_to(runs / "b" / ENVIRONMENT)
    rows, _ = collect(str(runs))
    assert [Path(row["run"]).name for row in rows] == ["b"]
    said = "\n".join(sorted(capsys.readouterr().err.splitlines()))
    assert re.search(r"a: .* found a link\n.*c: .* found a link\n.*d: .* at most 16,777,216 bytes, found 6,4", said)


def test_metrics_named_like_other_columns(runs):
    write_json(runs / "a" / METRICS, {"run": 5, "state": 6, "training.seed": 7, "loss": 0.5})
    row = collect(str(runs))[0][0]
    assert (row["run"], row["state"], row["training.seed"]) == (str(runs / "a"), "finished", 0)


def test_runs_of_which_none_can_be_read(runs):
    for name in "abcd":
        (runs / name / CONFIG).write_text("{")
    with pytest.raises(ValueError, match="expected a folder with runs, found none but 4 that cannot be read in"):
        collect(str(runs))


def test_the_best_run_comes_first_and_unfinished_ones_last(runs):
    rows, differing = collect(str(runs))
    names, _, *body = cells(table(rows, differing, "token_accuracy"))
    assert names[:5] == ["run", "state", "token_accuracy", "latent_size", "seed"]
    assert names.count("token_accuracy") == 1
    assert [row[:2] for row in body] == [["b", "finished"], ["a", "finished"], ["c", "step 200"], ["d", "begun"]]
    names, _, *body = cells(table(rows, differing, "token_accuracy", everything=True))
    assert names[:5] == ["run", "state", "token_accuracy", "model.latent_size", "training.seed"]
    assert body[0][names.index("steps")] == "12,345"
    assert body[0][names.index("tokens_per_second")] == "2,000.0"
    assert [row["loss"] for row in sorted_rows(rows, "loss")[:2]] == [0.25, 0.5]


def test_it_fits_into_120_columns_whatever_differs(tmp_path, capsys):
    """Of long names and values the end is shown, and what has no room is told."""
    for number in range(12):
        config = Config(corpus=TextConfig(files=[f"{'folder/' * 9}{number}.txt"]), name=f"{'name' * 20}{number}")
        config.training.seed, config.training.learning_rate = number, 0.001 * (number + 1)
        config.training.weight_decay, config.model.latent_size = number / 7, 16 + number
        run = RunDir(tmp_path / f"{'long' * 10}{number}")
        run.create(to_mapping(config), {})
        write_json(run / METRICS, {"loss": number / 7, "bleu": 12.0})
    rows, differing = collect(str(tmp_path))
    lines = table(rows, differing, "bleu").splitlines()
    names = cells(lines[0])[0]
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= 120
    assert names[:2] == ["run", "bleu"] and len(names) >= 4
    assert [row[0][-2:] for row in cells("\n".join(lines))[2:]].count("g0") == 1
    assert "more columns with all=true" in capsys.readouterr().err
    everything = cells(table(rows, differing, "bleu", everything=True))[0]
    assert everything == ["run", "bleu", *differing, "state", "loss"]


def test_settings_of_one_name_keep_their_groups():
    settings = ["model.seed", "training.seed", "model.size", "other.loss"]
    assert list(_short_names(settings).values()) == ["model.seed", "training.seed", "size", "other.loss"]


def test_runs_of_several_sweeps_keep_their_names_apart(runs, tmp_path):
    make(tmp_path / "more" / "a", 0, 64, loss=0.1)
    rows, differing = collect(str(tmp_path / "*" / "a"))
    names, _, *body = cells(table(rows, differing, "loss"))
    assert names[:2] == ["run", "loss"]  # both are finished, and nothing differs
    assert [row[0] for row in body] == ["more/a", "sweep/a"]


def composed(*arguments):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        return compose("report", list(arguments))


def test_the_command_prints_a_table_and_writes_csv_and_plot(runs, tmp_path, capsys):
    main(composed(f"runs={runs}", "sort=bleu"))
    assert cells(capsys.readouterr().out)[0][2] == "bleu"
    main(composed(f"runs={runs}", "all=true"))
    assert cells(capsys.readouterr().out)[0][-1] == "tokens_per_second"
    main(composed(f"runs={runs}", f"csv={tmp_path / 'r.csv'}", f"plot={tmp_path / 'r.svg'}"))
    assert [row[0] for row in cells(capsys.readouterr().out)[2:]] == ["a", "b", "c", "d"]
    read = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert [row["steps"] for row in read] == ["12345", "12345", "", ""]
    assert float(read[0]["token_accuracy"]) == json.loads((runs / "a" / METRICS).read_text())["token_accuracy"]
    assert (tmp_path / "r.svg").read_text().count("<svg") == 1


def test_what_will_not_do_is_refused_before_anything_is_written(runs, tmp_path):
    with pytest.raises(ValueError, match=r"plot: expected a file of kind png, svg or pdf, found .*r\.txt"):
        main(composed(f"runs={runs}", f"csv={tmp_path / 'r.csv'}", f"plot={tmp_path / 'r.txt'}"))
    with pytest.raises(ValueError, match=r"expected sort as one of loss, token_accuracy, .* received 'accuracy'"):
        main(composed(f"runs={runs}", f"csv={tmp_path / 'r.csv'}", "sort=accuracy"))
    with pytest.raises(ValueError, match="expected at least one finished run with cer, received none"):
        plot(*collect(str(runs)), "cer", tmp_path / "r.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]


def test_a_sweep_leaves_its_table(runs, capsys):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        config = compose("config", [f"hydra.sweep.dir={runs}", "objective=token_accuracy"], return_hydra_config=True)
    SweepTable().on_multirun_end(config)
    said = capsys.readouterr().err
    assert (runs / "report.txt").read_text() in said
    assert said.splitlines()[-1] == f"to look at the runs: tensorboard --logdir {runs}"
    rows = list(csv.DictReader((runs / "report.csv").open(encoding="utf-8")))
    assert [row["training.seed"] for row in rows] == ["1", "0", "2", "3"]
    assert (runs / "report.png").read_bytes().startswith(b"\x89PNG")
