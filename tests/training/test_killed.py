"""Runs that are killed, at any moment, and continued: in the end they are those that nobody touched."""

import os
import random
import signal

import pytest

from helpers.runs import NOISY, history, same_run
from textae.runs import run_folder
from textae.runs.run_folder import RunDir

pytestmark = pytest.mark.backend_free

KILLS = int(os.environ.get("TEXTAE_KILLS", "8"))  # TEXTAE_KILLS=20 and more for a thorough test
SEED = int(os.environ.get("TEXTAE_KILLS_SEED", random.SystemRandom().randrange(10**6)))
# One of each phase, in the order in which a run comes to them; the rest is drawn.
PHASES = [
    {"place": "preparing", "after": 0.02},
    {"place": "tokenizer", "after": 0.01},
    {"place": "tokens"},
    {"place": "step", "call": 3, "after": 0.05},
    {"place": "renaming", "call": 5},
    {"place": "writing", "call": 9},
    {"place": "validation", "after": 0.1},
    {"place": "ending"},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def settings(corpus_file):
    return [*NOISY, f"corpus.files=[{corpus_file}]"]


@pytest.fixture(scope="module")
def whole(forks, place, settings):
    """The folder of a run that nobody touched."""
    ended = forks.run([*settings, "hydra.run.dir=whole", "data_dir=data"], cwd=place)
    assert ended.code == 0, ended.errors
    assert len(history(place / "whole")) >= 2
    return place / "whole"


def drawn(draw):
    """A moment to kill a process in."""
    places = {
        "step": 6,
        "judging": 3,
        "evaluation": 1,
        "writing": 25,
        "renaming": 35,
        "flushing": 9,
        "saving": 8,
        "ending": 1,
    }
    places |= {"preparing": 1, "tokenizer": 1, "tokens": 1, "building": 2, "validation": 3}
    name = draw.choice(sorted(places))
    return {
        "place": name,
        "call": draw.randint(1, places[name]),
        "after": draw.choice([0.0, draw.uniform(0, 0.05), draw.uniform(0, 1)]),
    }


@pytest.mark.slow
def test_killed_runs_go_on_to_the_bit(forks, place, settings, whole):
    draw, kills, lives, tries = random.Random(SEED), 0, 0, 0
    while kills < KILLS:
        lives += 1
        arguments = [*settings, f"hydra.run.dir=life{lives}", f"data_dir=data{lives}"]
        while kills < KILLS:
            at = PHASES[kills] if lives == 1 and kills < len(PHASES) else drawn(draw)
            ended = forks.run(arguments, at=at, cwd=place)
            tries += 1
            assert ended.code in (0, -signal.SIGKILL), (SEED, at, ended)
            if ended.code == 0:  # it was not met there: it was past that, or over
                break
            kills += 1
            assert RunDir(place / f"life{lives}").finished == (place / f"life{lives}" / run_folder.METRICS).exists()
        ended = forks.run(arguments, cwd=place)
        assert ended.code == 0, (SEED, ended)
        same_run(whole, place / f"life{lives}")
        assert not list((place / f"life{lives}").rglob("*.tmp"))
        assert not [p for p in (place / f"data{lives}").rglob("*") if p.suffix in (".tmp", ".incomplete")]
        assert tries < 5 * KILLS + 20, SEED


SIGNALS = [
    ("step", 1, signal.SIGTERM),
    ("step", 2, signal.SIGINT),
    ("judging", 1, signal.SIGTERM),
    ("saving", 2, signal.SIGINT),
    ("evaluation", 1, signal.SIGTERM),
    ("ending", 1, signal.SIGINT),
]


@pytest.mark.slow
def test_signals_end_a_run_soon_and_it_goes_on_to_the_bit(forks, place, settings, whole):
    """In the first step, in a later one, in a validation, while saving, in the final evaluation, and at the end."""
    arguments = [*settings, "hydra.run.dir=asked", "data_dir=data"]
    for name, call, number in SIGNALS:
        ended = forks.run(arguments, at={"place": name, "call": call, "signal": number}, cwd=place)
        if name == "ending":
            assert ended.code == 0  # all was done but for writing it down
            break
        assert ended.code == 128 + number, (name, ended)
        assert ended.seconds < 10
        line = f"textae: stopped by {number.name}; the same command with hydra.run.dir="
        assert ended.errors.splitlines()[-1].startswith(line)
        assert "Traceback" not in ended.errors
        assert not (place / "asked" / run_folder.METRICS).exists()
        if (name, call) != ("step", 1):
            assert (place / "asked" / run_folder.CHECKPOINT).is_file()
    same_run(whole, place / "asked")


@pytest.mark.slow
def test_signals_end_what_comes_before_the_first_step(forks, place, settings):
    """The corpus is prepared, SentencePiece trains on what takes it long, text is encoded, a model is built."""
    draw = random.Random(0)
    (place / "slow.txt").write_text("".join("".join(draw.choices("=-", k=3900)) + "\n" for _ in range(60)))
    slow = [*settings[:-1], "corpus.files=[slow.txt]", "tokenizer.vocabulary_size=null"]
    phases = [
        (settings, {"place": "preparing", "signal": signal.SIGTERM}),
        (slow, {"place": "tokenizer", "signal": signal.SIGTERM, "after": 1.0}),
        (slow, {"place": "tokenizer", "signal": signal.SIGINT, "after": 1.0}),
        (settings, {"place": "tokens", "signal": signal.SIGINT}),
        (settings, {"place": "building", "signal": signal.SIGTERM}),
    ]
    for arguments, at in phases:
        ended = forks.run([*arguments, "hydra.run.dir=before", "data_dir=before_data"], at=at, cwd=place)
        number = at["signal"]
        assert ended.code == 128 + number, (at, ended)
        assert ended.seconds < 10, (at, ended)
        said = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}[number]
        assert ended.errors.splitlines()[-1] == f"textae: stopped by {said}", (at, ended)
        assert not (place / "before" / run_folder.CONFIG).exists()
        assert not [p for p in (place / "before_data").rglob("*") if p.suffix in (".tmp", ".incomplete")]
