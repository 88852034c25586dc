"""Normalization of numbers: values that vary from line to line become one, before a text is split into tokens."""

import re

from textae.config.choices import NumberNormalization

KINDS = tuple(NumberNormalization.__members__)
_DIGITS = re.compile("[0-9]")
# A hexadecimal number: 0x and digits, or a word of four or more hexadecimal digits of which one is decimal.
HEXADECIMAL = re.compile(
    r"(?<![0-9A-Za-z])(?:(0[xX])(?=[0-9a-fA-F])|(?=[a-fA-F]*[0-9])(?=[0-9a-fA-F]{4}))([0-9a-fA-F]+)(?![0-9A-Za-z])"
)


def normalize_numbers(text: str, kind: str) -> str:
    """Return a text of the same length whose numbers consist of zeros.

    Args:
        text: any.
        kind: "none" (the text as it is), "digits" (each decimal digit becomes 0) or "hexadecimals" (so does each letter
            of a hexadecimal number).

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"expected the normalization of numbers to be one of {', '.join(KINDS)}, received {kind!r}")
    if kind == "none":
        return text
    if kind == "hexadecimals":
        text = HEXADECIMAL.sub(lambda found: (found[1] or "") + "0" * len(found[2]), text)
    return _DIGITS.sub("0", text)
