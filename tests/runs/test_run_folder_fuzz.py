"""Any file of a run folder may be damaged, or be no file: one line and exit code 2, in 10 seconds and 1 GB."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from helpers import attacks
from textae.config.checks import MOST_NUMBERS
from textae.config.mapping import from_mapping
from textae.models.shapes import weight_shapes
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir
from textae.training.state import TrainingState

pytestmark = pytest.mark.backend_free
OBJECTS = {*attacks.OBJECTS}


@pytest.fixture(scope="module")
def good(tiny_config, tmp_path_factory):
    """A finished run with a SentencePiece model, and with checkpoints beside it."""
    from textae.training.fit import fit

    folder = tmp_path_factory.mktemp("good") / "run"
    fit(tiny_config(**{"tokenizer.kind": "unigram", "tokenizer.vocabulary_size": 300, "training.max_steps": 1}), folder)
    run = RunDir(folder)
    arrays, _ = read_arrays(run / run_folder.WEIGHTS)
    state = asdict(TrainingState(step=1, best_step=1, best_loss=3.0, history=[{"step": 1, "loss": float("nan")}]))
    for _ in range(2):
        run.write_checkpoint({f"model/{i}": array for i, array in enumerate(arrays.values())}, state)
    return folder


@pytest.fixture(scope="module")
def tried(good, forks, tmp_path_factory):
    """What became of each case, and the folder that holds those that `report` reads."""
    place = tmp_path_factory.mktemp("tried")
    ended = forks.call(attacks.try_all, good=str(good), place=str(place), answers=f"{place}.json")
    assert ended.code == 0, ended.errors
    with open(f"{place}.json", encoding="utf-8") as lines:  # noqa: PTH123
        yield [json.loads(line) for line in lines], place
    for folder in place.iterdir():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_each_case_is_one_line_and_exit_code_2_or_does_no_harm(tried):
    found, _ = tried
    assert len(found) == len(attacks.names()) > 400
    wrong = [case for case in found if not _as_promised(case)]
    assert not wrong, wrong[:5]


def _as_promised(case):
    file, kind, lines = case["file"], case["kind"], case["said"].splitlines()
    if case["seconds"] > attacks.SECONDS or case["megabytes"] > attacks.MEGABYTES:
        return False
    if case["code"] == 0:  # what is not read may hold anything, and a changed byte may mean nothing
        other = kind in OBJECTS and not (kind == "folder" and file in attacks.UNREAD and "/" in file)
        return not lines and not (other or kind.startswith("YAML") or _cannot_be(file, kind))
    one = len(lines) == 1 and case["said"].endswith("\n") and lines[0].startswith("textae: ") and lines[0].isprintable()
    return case["code"] == 2 and one and len(lines[0]) < 900 and case["folder"] in lines[0]


def _cannot_be(file, kind):
    """Whether a file can be of no use: one that is read and is not there, or has another's content."""
    if file not in attacks.READ or kind not in {"missing", "empty", "huge", *attacks.CONTENTS}:
        return False
    return kind != "missing" or file not in (run_folder.CHECKPOINT, run_folder.METRICS, run_folder.HISTORY)


@pytest.mark.slow
def test_a_table_is_made_whatever_other_runs_hold(tried, good, forks, tmp_path):
    found, place = tried
    shutil.copytree(good, place / "good")
    ended = forks.call(attacks.report_all, place=str(place), answer=str(tmp_path / "answer.json"))
    assert ended.code == 0, ended.errors
    assert ended.seconds < 120
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert str(place / "good") in answer["runs"]
    cases = [case for case in found if case["file"] in attacks.REPORTED]
    assert len(cases) > 150
    for case in cases:
        about = [line for line in answer["said"] if line.startswith(f"left out: {case['folder']}: ")]
        other = case["kind"] == "missing" and case["file"] in (
            run_folder.CONFIG,
            run_folder.ENVIRONMENT,
        )  # another program's
        # Settings that are cut where they still are some: only weights, which a table does not read, tell.
        whole = case["code"] == 0 or (case["file"] == run_folder.CONFIG and run_folder.WEIGHTS in case["said"])
        assert len(about) == (0 if whole or other else 1), case
        assert answer["runs"].count(case["folder"]) == (1 if whole else 0), case
    assert all(line.isprintable() and len(line) < 900 for line in answer["said"])
    assert all(line.isprintable() for line in answer["shown"].splitlines())


LARGEST = [
    {"strides": [64], "channels": [512, 1], "max_length": 1 << 16},
    {
        "strides": [64],
        "channels": [64, 1],
        "residual_blocks": [1, 0],
        "kernel_size": 1,
        "expansion": 8.0,
        "max_length": 1 << 16,
    },
    {"strides": [64], "channels": [1, 256], "max_length": 1 << 17, "latent_size": 16384},
    {"strides": [4], "channels": [1 << 14, 1], "max_length": 32},
]


@pytest.mark.slow
@pytest.mark.parametrize("model", LARGEST, ids=str)
def test_the_largest_models_take_their_share_and_no_more(good, forks, tmp_path, model):
    values = RunDir(good).config()
    values["model"] |= {"residual_blocks": [0, 0], "encoder_residual_blocks": None} | model
    values["training"]["tokens_per_batch"] = 1 << 17
    config = from_mapping(values).model
    assert config.numbers_at_once(config.max_length) > MOST_NUMBERS // 4 or config.channels[0] > 1 << 13
    shutil.copytree(good, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    run.create(values, read_json(run / run_folder.ENVIRONMENT))
    shapes = weight_shapes(config, 300)
    write_arrays(run / run_folder.WEIGHTS, {n: np.zeros(s, np.float32) for n, s in shapes.items()}, {})
    ended = forks.call(attacks.use_the_largest, folder=str(run.folder), line="x" * config.max_length)
    assert ended.code == 0, ended.errors[-2000:]
