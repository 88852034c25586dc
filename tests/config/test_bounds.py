"""What the schema of the configuration allows is what the code that uses it allows."""

import pytest

from textae.config.choices import TokenizerKind
from textae.config.schema import TokenizerConfig
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
