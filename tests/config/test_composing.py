"""Settings of a Python program as the words of a command."""

from pathlib import Path

import pytest

from textae.config.composing import composed, override

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    "value",
    [
        "a b",
        "it's",
        "a\\",
        "\\'",
        "${name}",
        "x=${oc.env:HOME}",
        "null",
        "1e3",
        "007",
        "",
        "a,b",
        "[x]",
        "日本",
        "true",
        "-",
    ],
)
def test_any_text_comes_back(value):
    assert composed("config", [override("name", value)]).name == value
    files = composed("config", ["corpus=text", override("corpus.files", [value, Path("a/b c")])]).corpus.files
    assert list(files) == [value, str(Path("a/b c"))]


@pytest.mark.parametrize("value", [1, 0, 2**40])
def test_whole_numbers_come_back(value):
    assert composed("config", [override("training.seed", value)]).training.seed == value


def test_other_values_come_back():
    words = [
        override("training.learning_rate", 3e-05),
        override("training.max_epochs", None),
        override("model.variational", True),
        override("model.strides", (2, 2)),
        override("training.corruption", {"substitute": 0.3}),
    ]
    config = composed("config", words)
    assert config.training.learning_rate == 3e-05 and config.training.max_epochs is None
    assert config.model.variational is True and list(config.model.strides) == [2, 2]
    assert config.training.corruption.substitute == 0.3 and config.training.corruption.drop == 0


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"expected model.strides\[1\] as a number, a string, .*received set"):
        override("model.strides", [1, {2}])
    with pytest.raises(TypeError, match=r"expected name as a number, a string, .*received bytes"):
        override("name", b"a")
