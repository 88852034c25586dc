"""Checks of what is said about input that is refused."""

import pytest

import textae


def one_line(error):
    """Check that an error's message is one line that a person can read."""
    message = str(error.value if hasattr(error, "value") else error)
    assert message and "\n" not in message and len(message) < 900, message
    return message


def refuses(folder, match="."):
    with pytest.raises(ValueError, match=match) as caught:
        textae.load(folder)
    message = one_line(caught)
    assert str(folder) in message
    return message
