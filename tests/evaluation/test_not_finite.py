"""Numbers that are not finite: told, never printed as JSON, never decoded, and no training ends well with them."""

import json
from importlib import import_module

import keras
import numpy as np
import pytest

import textae
from textae.cli.commands import failure
from textae.losses.reconstruction import ReconstructionObjective
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import to_json
from textae.runs.run_folder import RunDir
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free


def refuse(constant):
    pytest.fail(f"{constant} is no JSON")


@pytest.fixture
def not_finite(broken):
    """A run with a weight that is NaN."""
    arrays, metadata = read_arrays(broken / run_folder.WEIGHTS)
    name = next(name for name in sorted(arrays) if name.startswith("decoder"))
    arrays[name] = np.full_like(arrays[name], np.nan)
    write_arrays(broken / run_folder.WEIGHTS, arrays, metadata)
    return broken


def test_json_has_no_number_that_is_not_finite():
    values = {
        "a": float("nan"),
        "b": [1.5, float("inf")],
        "c": {"d": np.float64("-inf"), "e": 2},
        "f": "NaN",
        "g": None,
    }
    found = json.loads(to_json(values), parse_constant=refuse)
    assert found == {"a": None, "b": [1.5, None], "c": {"d": None, "e": 2}, "f": "NaN", "g": None}


def test_evaluate_prints_json_and_tells_what_is_not_finite(not_finite, data_dir, capsys, monkeypatch):
    """The line goes to standard error."""
    from hydra import compose, initialize_config_dir

    from textae.config.registration import config_dir, register

    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        composed = compose("evaluate", overrides=[f"run={not_finite}", f"data_dir={data_dir}"])
    capsys.readouterr()
    import_module("textae.evaluate").main(composed)
    said = capsys.readouterr()
    metrics = json.loads(said.out, parse_constant=refuse)
    assert metrics["loss"] is None and 0 <= metrics["token_accuracy"] <= 1
    lines = [line for line in said.err.splitlines() if "finite" in line]
    assert lines == ["expected finite metrics, found loss nan: null in the JSON object"]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e39])
def test_latents_that_are_not_finite_are_not_decoded(trained, odd, recwarn):
    ae = textae.load(trained[0])
    good, bad = np.zeros((2, 16)), np.zeros((3, 16))
    bad[2, 5] = odd
    with pytest.raises(ValueError, match=r"expected a document's latents to be finite, received 1 of 48 that are not"):
        ae.decode([good, bad])
    assert len(recwarn) == 0


SETTINGS = {"training.on_nonfinite": "skip", "training.max_steps": 3, "training.validation_documents": 2}


@pytest.mark.slow
def test_a_training_whose_weights_are_not_finite_fails(tiny_config, tmp_path, capsys):
    """The first update makes weights of 1e38, the others are skipped; asked again it says the same."""
    changes = SETTINGS | {"training.learning_rate": 1e38, "training.warmup_steps": 0}
    for _ in range(2):
        with pytest.raises(FloatingPointError, match=r"^expected a finite loss of the test split, found ") as caught:
            fit(tiny_config(**changes), tmp_path)
        assert failure(caught.value) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("textae: expected a finite loss of the test split")
    assert not RunDir(tmp_path).finished


@pytest.mark.slow
def test_a_training_that_skipped_every_update_fails(tiny_config, tmp_path, monkeypatch):
    """Its weights are those that it began with, whose loss is finite."""
    sums_of = ReconstructionObjective.__call__

    def broken_sums(*arguments, **settings):
        sums = sums_of(*arguments, **settings)
        return sums | {"total": sums["total"] * keras.ops.convert_to_tensor(float("nan"))}

    monkeypatch.setattr(ReconstructionObjective, "__call__", broken_sums)
    with pytest.raises(FloatingPointError, match=r"^expected updates with a finite loss .*: all 3 were skipped$"):
        fit(tiny_config(**SETTINGS), tmp_path)
    assert not RunDir(tmp_path).finished


def test_scores_that_are_no_numbers_come_first():
    from textae.inference.anomalies import ScoredLine, oddest_first

    scores = [1.0, float("nan"), 3.0, float("inf"), 2.0]
    rows = [ScoredLine((score,), number, "a") for number, score in enumerate(scores, 1)]
    assert [row.number for row in oddest_first(rows)] == [2, 4, 3, 5, 1]
