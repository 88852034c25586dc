"""The logs with labelled anomalies: the same for a seed, and labelled rightly."""

import random
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


@pytest.mark.parametrize("name", ["packages", "web"])
def test_a_log_is_labelled_and_repeats(name):
    import make_logs

    found = make_logs.make(name, seed=3, lines=600, anomalies=13)
    assert found == make_logs.make(name, seed=3, lines=600, anomalies=13)
    assert found != make_logs.make(name, seed=4, lines=600, anomalies=13)
    assert [len(lines) for lines in found.values()] == [613] * 4
    assert not any("\n" in line for lines in found.values() for line in lines)
    assert found["labels"].count("1") == 13 == len({kind for kind in found["kinds"] if kind != "-"})
    assert [label == "1" for label in found["labels"]] == [kind != "-" for kind in found["kinds"]]
    clean = make_logs.make(name, seed=3, lines=600, anomalies=13, clean=True)["train.log"]
    assert len(clean) == 600 and set(clean) < set(found["train.log"])


def test_every_kind_of_anomaly_of_an_import_log_differs_from_the_log():
    import make_logs

    lines = [
        "import 'abc' # <class '_frozen_importlib.FrozenImporter'>",
        "# code object from '/usr/lib/python3/re/__pycache__/__init__.cpython-311.pyc'",
        "# /usr/lib/python3/__pycache__/re.cpython-311.pyc matches /usr/lib/python3/re.py",
        "import time:       514 |        514 |       _json",
        "import 're' # <_frozen_importlib_external.SourceFileLoader object at 0x7f22b4e097d0>",
    ]
    _, kinds = make_logs.LOGS["imports"]
    today, found = make_logs.with_anomalies(random.Random(0), lines, kinds, 5)
    assert len(today) == 10 and sum(kind == "-" for kind in found) == 5
    assert [line for line, kind in zip(today, found, strict=True) if kind == "-"] == lines
