"""Which encoding bytes that are not UTF-8 are in, as far as they show it."""

import re
import unicodedata

_SAMPLE = 200_000  # bytes that are looked at
_LEAST_SHARE = 0.1  # of the lines that must be in another encoding, if there are few
_FEW = 3
_PREFERRED = "cp1252"
_ALMOST = 0.4  # as likely as the likeliest: short texts hardly tell the encodings of Windows apart
_PLAUSIBLE = 0.8  # share of the characters beyond ASCII that stand where such characters stand
_MARKS = set("‘’‚“”„†‡•…–—‰‹›€™¡¢£¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿×÷Øø\xa0\xad")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def guess_encoding(content: bytes) -> str | None:
    """The encoding of lines that are not all UTF-8, or None if they are UTF-8 with faults, or do not say enough.

    It is asked of chardet, among the encodings of the web; cp1252 is taken where it is hardly less likely. A single
    strange byte, or a few among many lines, is a fault.
    """
    lines = content.split(b"\n")
    if len(lines) > 1 and len(content) > _SAMPLE:
        lines = lines[:-1]
    strange = [line for line in lines if not line.isascii()]
    if any(_is_utf8(line) for line in strange):
        return None
    bytes_beyond = sum(len(_NOT_ASCII.findall(line)) for line in strange[:_FEW])
    if bytes_beyond < 2 or (len(strange) < _FEW and len(strange) < _LEAST_SHARE * len(lines)):
        return None
    sample = b"\n".join(strange)[:_SAMPLE]
    for encoding in _candidates(sample):
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(sample) - 4:  # not a character that the sample cuts
                continue
            text = sample[: error.start].decode(encoding)
        return encoding if _is_plausible(text) else None
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _candidates(sample: bytes) -> list[str]:
    """Codecs that chardet holds likely, the best first."""
    import codecs

    import chardet
    from chardet import EncodingEra

    found: dict[str, float] = {}
    for result in chardet.detect_all(sample, ignore_threshold=True, encoding_era=EncodingEra.MODERN_WEB):
        if result["encoding"]:
            found.setdefault(codecs.lookup(result["encoding"]).name, result["confidence"])
    found.pop("utf-8", None)
    ranked = sorted(found, key=lambda name: -found[name])
    if ranked and found.get(_PREFERRED, 0.0) >= _ALMOST * found[ranked[0]]:
        ranked.insert(0, _PREFERRED)
    return ranked


def _is_plausible(text: str) -> bool:
    """Whether characters beyond ASCII are letters next to letters, or marks of printed text."""
    beyond = plausible = 0
    padded = f" {text} "
    for i, character in enumerate(padded):
        if character.isascii():
            continue
        beyond += 1
        if character in _MARKS:
            plausible += 1
        elif character not in "ÿþ" and unicodedata.category(character)[0] in "LM":
            plausible += any(unicodedata.category(near)[0] in "LM" for near in (padded[i - 1], padded[i + 1]))
        else:
            plausible += ord(character) > 0x2000 and character.isprintable()  # punctuation of East Asia
    return plausible >= _PLAUSIBLE * beyond
