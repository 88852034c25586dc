"""Loggers beside TensorBoard: they are given what TensorBoard is given, and a continued run goes on in theirs."""

import importlib.util
import json
import os
import struct

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from helpers.event_files import read
from helpers.runs import NOISY
from textae import train
from textae.config.choices import LoggerKind
from textae.config.registration import config_dir, register
from textae.config.schema import TrainingConfig
from textae.reporting.loggers.opening import check_loggers, open_loggers
from textae.reporting.loggers.tensorboard import tag
from textae.reporting.tensorboard import ComparedText
from textae.runs.run_folder import LOGGERS, RunDir

pytestmark = pytest.mark.backend_free

SETTINGS = {"training.seed": 3, "model.strides": [2, 2], "corpus.field": None}


def test_a_library_that_is_missing_is_said_before_anything_else(monkeypatch, tmp_path):
    monkeypatch.setattr("textae.reporting.loggers.opening.find_spec", lambda name: None)
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        composed = compose(
            "config", ["training.loggers=[tensorboard,mlflow]", "corpus=text", "corpus.files=[none.txt]"]
        )
    line = r"training\.loggers: expected the package mlflow, found none: pip install 'textae\[mlflow\]'"
    with pytest.raises(ValueError, match=line):
        train.main(composed)
    check_loggers([LoggerKind.tensorboard])


def test_loggers_are_named_once():
    assert TrainingConfig(loggers=["mlflow"]).loggers == [LoggerKind.mlflow]
    assert TrainingConfig(loggers=[]).loggers == []
    with pytest.raises(ValueError, match=r"expected each of training\.loggers once, received"):
        TrainingConfig(loggers=["mlflow", "mlflow"])
    with pytest.raises(ValueError, match="as one of tensorboard, mlflow, wandb, received 'comet'"):
        TrainingConfig(loggers=["comet"])


def record(folder, config, steps, ends=False):
    """Have a run's loggers record some steps, as a run does that goes on after the step before the first of them."""
    loggers = open_loggers(RunDir(folder), config, step=steps[0] - 1, validation_due=False)
    loggers.settings(SETTINGS)
    for step in steps:
        loggers.scalars({"loss": 1 / step, "token_accuracy": 0.5}, step, "train")
        if step % 2 == 0:
            loggers.scalars({"loss": 2 / step}, step, "validation")
            loggers.texts("reconstructions", [ComparedText("worst", ["a"], ["b"])], step, "validation")
            loggers.figure("quality_by_length", Figure(figsize=(1, 1)), step, "validation")
            loggers.histograms({"latents": np.arange(9.0)}, step, "validation")
            loggers.points(np.eye(2), {"text": ["a", "b"]}, step, "validation")
    loggers.flush()
    if ends:
        loggers.results({"loss": 0.25, "documents": 7.0}, steps[-1])
    loggers.close()


@pytest.fixture
def logged(request, tiny_config, tmp_path, monkeypatch):
    """A function: record a run in parts with one logger; the folder of the run."""

    def make(kind, *parts):
        monkeypatch.chdir(tmp_path)
        config = tiny_config(**{"training.loggers": [kind]})
        (tmp_path / "run").mkdir()
        for part in parts:
            record(tmp_path / "run", config, part, ends=part is parts[-1])
        return tmp_path / "run"

    return make


def test_mlflow_goes_on_in_its_run(logged, tmp_path, monkeypatch):
    """In a folder, which needs no database; the slow test below has the database."""
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = logged("mlflow", range(1, 5), range(3, 7))
    client = tracking.MlflowClient()
    (experiment,) = [found for found in client.search_experiments() if found.name == "default"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert json.loads((folder / LOGGERS).read_text())["mlflow"]["id"] == run.info.run_id
    assert run.data.params == {name: str(value) for name, value in SETTINGS.items()}
    written = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(value.step, value.value) for value in written] == [(step, 1 / step) for step in range(1, 7)]
    written = client.get_metric_history(run.info.run_id, "validation/loss")
    assert [value.step for value in written] == [2, 4, 6]
    assert (run.data.metrics["test/loss"], run.data.metrics["test/documents"]) == (0.25, 7)
    names = {file.path for name in ("quality_by_length", "reconstructions")
             for file in client.list_artifacts(run.info.run_id, f"validation/{name}")}  # fmt: skip
    assert names == {
        *(f"validation/quality_by_length/step_{step:08d}.png" for step in (2, 4, 6)),
        *(f"validation/reconstructions/step_{step:08d}.html" for step in (2, 4, 6)),
    }


def test_a_run_of_mlflow_that_is_gone_is_said(logged, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = logged("mlflow", range(1, 3))
    (folder / LOGGERS).write_text('{"mlflow": {"id": "0123456789abcdef0123456789abcdef", "steps": {}}}')
    with pytest.raises(ValueError, match=r"training\.loggers: MLflow refuses the run 0123456789abcdef") as caught:
        record_with(folder, "mlflow")
    assert "\n" not in str(caught.value)


def record_with(folder, kind):
    from textae.config.schema import Config, PydocsConfig

    config = Config(corpus=PydocsConfig())
    config.training.loggers = [kind]
    return open_loggers(RunDir(folder), config, 2, False)


def wandb_records(folder):
    """What W&B's offline files hold, in the order of the files: (ids, settings, rows of the history)."""
    from wandb.proto.wandb_internal_pb2 import Record

    ids, settings, rows = set(), {}, []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in map(Record.FromString, leveldb_records(path.read_bytes())):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                ids.add(record.run.run_id)
            if kind in ("run", "config"):
                config = record.run.config if kind == "run" else record.config
                settings |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in config.update}
            if kind == "history":
                items = record.history.item
                rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return ids, settings, rows


def leveldb_records(data):
    """Yield the records of a log of LevelDB's format after W&B's header of 7 bytes; parts of a record are joined."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def history(rows, name):
    return [(row["step"], row[name]) for row in rows if name in row]


@pytest.mark.slow
def test_wandb_goes_on_in_its_run(logged, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = logged("wandb", range(1, 5), range(3, 7))
    ids, settings, rows = wandb_records(folder)
    assert ids == {json.loads((folder / LOGGERS).read_text())["wandb"]["id"]}
    assert {name: settings[name] for name in SETTINGS} == SETTINGS
    assert history(rows, "train/loss") == [(step, 1 / step) for step in range(1, 7)]
    assert history(rows, "validation/loss") == [(step, 2 / step) for step in (2, 4, 6)]
    assert history(rows, "test/documents") == [(6, 7)]
    for name in ("quality_by_length/path", "latents/values", "reconstructions/path"):
        assert {step for step, _ in history(rows, f"validation/{name}")} == {2, 4, 6}
    contents = {}  # by the number of the row: pictures of step 4 are in both files, and are the same row
    for row in rows:
        contents.setdefault(row["_step"], []).append((row["step"], sorted(row)))
    repeated = {number: found for number, found in contents.items() if len(found) > 1}
    assert len(repeated) == 3
    assert all(found[0] == found[1] and found[0][0] == 4 for found in repeated.values())


@pytest.mark.slow
def test_killed_runs_go_on_in_every_logger(forks, corpus_file, tmp_path):
    """Each logger has each step once, with TensorBoard's values, of a run that was killed twice."""
    for name in ("mlflow", "wandb"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    arguments = [
        *NOISY, f"corpus.files=[{corpus_file}]", "training.loggers=[tensorboard,mlflow,wandb]", "hydra.run.dir=run",
        "data_dir=data", "training.log_every_steps=1", "training.patience=null", "training.max_steps=8",
        "training.eval_every_steps=3",
    ]  # fmt: skip
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "WANDB_MODE": "offline"}
    for at in ({"place": "step", "call": 4}, {"place": "saving", "call": 3}):
        ended = forks.run(arguments, at=at, cwd=tmp_path, env=environment)
        assert ended.code == -9, ended.errors
    ended = forks.run(arguments, cwd=tmp_path, env=environment)
    assert ended.code == 0, ended.errors
    assert "alembic" not in ended.errors and "mlflow" not in ended.output.decode()
    ids = json.loads((tmp_path / "run" / LOGGERS).read_text())
    _, settings, rows = wandb_records(tmp_path / "run")
    histories = forks.call(mlflow_histories, uri=environment["MLFLOW_TRACKING_URI"], run=ids["mlflow"]["id"])
    assert histories.code == 0, histories.errors
    status, params, found = json.loads(histories.output)
    assert status == "FINISHED"
    assert params["training.max_steps"] == "8" and settings["training.max_steps"] == 8
    for split in ("train", "validation", "test"):
        events = read(tmp_path / "run" / split)
        for name in ("loss", "token_accuracy"):
            expected = [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events.Scalars(tag(name))]
            assert len(expected) == {"train": 8, "validation": 3, "test": 1}[split]
            assert [tuple(pair) for pair in found[f"{split}/{name}"]] == expected
            assert history(rows, f"{split}/{name}") == expected


def mlflow_histories(uri, run):
    """Print a run's status, settings and the steps and values of its metrics, as JSON."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    read = client.get_run(run)
    histories = {
        name: [(value.step, value.value) for value in client.get_metric_history(run, name)]
        for name in read.data.metrics
        if name.endswith(("/loss", "/token_accuracy"))
    }
    print(json.dumps([read.info.status, read.data.params, histories]))
