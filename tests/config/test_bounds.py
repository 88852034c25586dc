"""What the schema of the configuration allows is what the code that uses it allows."""

import itertools

import pytest

from textae.config.choices import TokenizerKind
from textae.config.schema import TextConfig, TokenizerConfig
from textae.data.corpora.files import recipe
from textae.data.tokenizers import KINDS, train_tokenizer

pytestmark = pytest.mark.backend_free


def refusal(make):
    """What a ValueError says, or None."""
    try:
        make()
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_a_vocabulary(kind):
    texts = ["a b c"]
    for size in (1, 2, 3, 4, 5, 257, 258, 259, 260, 1 << 24, (1 << 24) + 1):
        by_schema = refusal(lambda size=size: TokenizerConfig(kind=TokenizerKind[kind], vocabulary_size=size))
        in_use = refusal(lambda size=size: train_tokenizer(kind, texts, size))
        if in_use is not None and "the texts" in in_use:  # it is for these texts alone that it does not do
            in_use = None
        assert by_schema == in_use, (kind, size)
        assert (size in (258,)) == (by_schema is None) or kind != "bytes"


def test_shares_of_splits(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text("a line\n")
    given = {"test_files": [str(tmp_path / "b.txt")], "validation_files": [str(tmp_path / "c.txt")]}
    numbers = (-0.1, 0.0, 0.3, 0.5, 0.7, 1.0)
    refused = 0
    for validation, test, named in itertools.product(numbers, numbers, [(), *itertools.combinations(given, 1), given]):
        values = {"files": [str(tmp_path / "a.txt")], "validation_share": validation, "test_share": test}
        values |= {name: given[name] for name in named}
        by_schema = refusal(lambda values=values: TextConfig(**values))
        in_use = refusal(lambda values=values: recipe(**values))
        if in_use is not None:
            assert by_schema is not None, values
        elif all(0 <= share < 1 for share in (validation, test)):  # what no one reads is within bounds all the same
            assert by_schema is None, values
        refused += by_schema is not None
    assert refused > 60
