r"""What a line of text is, for whatever reads one: the files of a corpus and the input of the commands.

A line ends with "\n" or "\r\n"; a "\r" elsewhere, U+2028 and the like are content. A byte order mark at the start of
the text is dropped, and says the encoding; without one it is UTF-8. Content that is compressed (gz, bz2, xz, zst) is
known by its first bytes, whatever its name, also where it comes from a pipe. A line is given as soon as it is complete.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

Advance = Callable[[int], None]
Tell = Callable[[str], None]
Guess = Callable[[bytes], str | None]

LONGEST_LINE_BYTES = 1 << 27  # a line without end must come to one
_BLOCK = 1 << 20
_DECOMPRESSED_BYTES = 1 << 15  # what is decompressed at once, where that cannot be bounded otherwise
_BOMS = {  # the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_LEVELS = [b"BZh%d" % level for level in range(1, 10)]
_SIGNS = {
    b"\x1f\x8b\x08": "gz",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    **{b"%c*M\x18" % first: "zst" for first in range(0x50, 0x60)},  # a frame to be skipped, as pzstd begins with
    **{level + rest: "bz2" for level in _LEVELS for rest in (b"1AY&SY", b"\x17rE8P\x90")},  # a block; an empty file
}


class Undecodable(str):
    """A line with bytes that are no text, which are shown as escapes; `reason` says what was found."""

    reason: str


def lines(
    stream: BinaryIO,
    name: str,
    encoding: str | None = None,
    *,
    keep_ends: bool = False,
    keep_undecodable: bool = False,
    at_once: int = 1,
    advance: Advance | None = None,
    guess: Guess | None = None,
    tell: Tell | None = None,
) -> Iterator[str]:
    r"""Yield the lines of a stream without their ends; the last one may lack its end.

    Args:
        stream: bytes, compressed or not; of a pipe no more is waited for than what makes a line.
        name: what messages call it.
        encoding: None: what a byte order mark says, otherwise UTF-8.
        keep_ends: lines keep a "\r" at their end, for formats in which it may be content.
        keep_undecodable: lines that cannot be decoded are given as `Undecodable`, and are no error.
        at_once: bytes that are waited for: more of them are faster.
        advance: told of the bytes read.
        guess: where no mark and nobody says the encoding: asked for it at the first bytes that are not UTF-8, unless
            there was text before that could only be UTF-8. None: they are not UTF-8 by fault.
        tell: told in a line what was found out about the encoding.

    Raises:
        ValueError: bytes that are no text, or a line of more than `LONGEST_LINE_BYTES`, with the number of the line; a
            compressed file that is broken.
    """
    said, content = mark(blocks(stream, name, advance, at_once), encoding)
    found = said or _without_mark(encoding)
    if tell and encoding is None:
        _tell_mark(tell, name, found)
    decoder = _LineDecoder(name, found, keep_ends, guess if encoding is None and said is None else None, tell)
    if not _is_superset_of_ascii(found):
        content, decoder.encoding = _as_utf8(content, found, name), "utf-8"
    yield from _decoded_lines(content, name, decoder, keep_undecodable)


def lines_from(stream: BinaryIO, name: str, ends: int, number: int) -> Iterator[str]:
    r"""Yield the lines of UTF-8 text behind the next `ends` "\n" of a stream; see `is_seekable`.

    Args:
        stream: bytes, from any place of a file on.
        name: what messages call it.
        ends: how many ends of lines are passed over.
        number: that of the first line that is yielded, for messages; the first of a file is 1.

    Raises:
        ValueError: as `lines`.
    """
    decoder = _LineDecoder(name, "utf-8", False, None, None)
    yield from _decoded_lines(_behind(_read(stream, None), ends), name, decoder, False, number)


def lines_between(stream: BinaryIO, name: str, start: int, stop: int, advance: Advance) -> Iterator[str]:
    """Yield the lines of a file that begin in a range of its bytes; see `is_seekable`.

    Bytes that are no text are given as `Undecodable`.

    Args:
        stream: the file.
        name: what messages call it.
        start: the first byte.
        stop: the one behind the last.
        advance: told of the bytes that the lines take.

    Raises:
        ValueError: a line is too long.
    """
    decoder = _LineDecoder(name, "utf-8", False, None, None)
    content = _between(stream, start, stop, advance)
    if not start:
        content = mark(content, None)[1]
    yield from _decoded_lines(content, name, decoder, True)


def is_seekable(head: bytes) -> bool:
    """Return whether the lines of a file that begins so can be read from its middle on: it is plain UTF-8."""
    sign = next((sign for sign in _BOMS if head.startswith(sign)), codecs.BOM_UTF8)
    return compression(head) is None and sign == codecs.BOM_UTF8


def _decoded_lines(
    content: Iterator[bytes], name: str, decoder: _LineDecoder, keep_undecodable: bool, first: int = 1
) -> Iterator[str]:
    """Yield the lines of content; `first` is the number of its first line."""
    for block in _whole_lines(content, name, first):
        given, faulty = decoder.decoded(block)
        if block.endswith(b"\n"):
            given.pop()
        if faulty and not keep_undecodable:
            for number, line in enumerate(given, first):
                if isinstance(line, Undecodable):
                    raise ValueError(f"{name}, line {number}: {line.reason}")
                yield line
        else:
            yield from given
        first += len(given)


def _between(stream: BinaryIO, start: int, stop: int, advance: Advance) -> Iterator[bytes]:
    """Yield the bytes of the lines that begin in a range."""
    place = max(start - 1, 0)
    stream.seek(place)
    inside = not start  # otherwise a line begins behind the first end, which may be the byte in front of the range
    for block in _read(stream, None):
        if not inside:
            behind = block.find(b"\n") + 1
            place += behind or len(block)
            if place >= stop:
                return
            if not behind:
                continue
            block, inside = block[behind:], True
        end = block.find(b"\n", max(stop - 1 - place, 0)) + 1 if place + len(block) >= stop else 0
        place += len(block)
        block = block[:end] if end else block
        advance(len(block))
        yield block
        if end:
            return


def _behind(content: Iterator[bytes], ends: int) -> Iterator[bytes]:
    """Yield what follows so many ends of lines."""
    for block in content:
        found = block.count(b"\n")
        if found < ends:
            ends -= found
            continue
        place = 0
        for _ in range(ends):
            place = block.index(b"\n", place) + 1
        ends = 0
        yield block[place:]
        yield from content


class _LineDecoder:
    """Decodes blocks of whole lines; where nothing says the encoding, bytes that are not UTF-8 may have it guessed."""

    def __init__(self, name: str, encoding: str, keep_ends: bool, guess: Guess | None, tell: Tell | None) -> None:
        self.encoding = encoding
        self._name, self._shown, self._keep_ends = name, encoding.upper(), keep_ends
        self._guess, self._tell = guess, tell  # the guess is made once, and not after text that can only be UTF-8

    def decoded(self, block: bytes) -> tuple[list[str], bool]:
        """Return the lines of a block, the empty one behind its last end included, and whether one may be faulty."""
        try:
            text = block.decode(self.encoding)
        except UnicodeDecodeError:
            if self._guess and (guessed := self._guess(block)):
                self.encoding, self._shown = guessed, guessed.upper()
                if self._tell:
                    self._tell(_guessed(self._name, guessed))
            self._guess = None
            return _line_by_line(block, self.encoding, self._shown, self._keep_ends), True
        if not text.isascii():
            self._guess = None
        if not self._keep_ends and "\r" in text:
            text = text.replace("\r\n", "\n")
            text = text.removesuffix("\r")  # of a last line that was cut between the two
        return text.split("\n"), False


def texts(
    stream: BinaryIO,
    name: str,
    encoding: str | None = None,
    *,
    keep_undecodable: bool = False,
    advance: Advance | None = None,
    guess: Guess | None = None,
    tell: Tell | None = None,
) -> Iterator[str]:
    """Yield the text of a stream in parts that end anywhere; as `lines` for what a line does not end.

    With `keep_undecodable`, bytes that are not UTF-8 are given as lone surrogates.
    """
    said, content = mark(blocks(stream, name, advance, _BLOCK), encoding)
    found = said or _without_mark(encoding)
    if tell and encoding is None:
        _tell_mark(tell, name, found)
    decoder = codecs.getincrementaldecoder(found)("strict")
    for block in chain(content, [b""]):
        pending = decoder.getstate()[0]
        try:
            yield decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            guessed = guess(pending + block) if guess and encoding is None and said is None else None
            if guessed:
                found, guess = guessed, None
                decoder = codecs.getincrementaldecoder(found)("strict")
                if tell:
                    tell(_guessed(name, found))
            elif keep_undecodable:
                decoder = codecs.getincrementaldecoder(found)("surrogatepass" if _is_wide(found) else "surrogateescape")
            else:
                raise _undecoded(name, found, error) from error
            try:
                yield decoder.decode(pending + block, not block)
            except UnicodeDecodeError as again:
                raise _undecoded(name, found, again) from again


def blocks(stream: BinaryIO, name: str, advance: Advance | None = None, at_once: int = 1) -> Iterator[bytes]:
    """Yield the content of a stream, decompressed if it is compressed, as it comes.

    Raises:
        ValueError: what is compressed is broken or cut short.
    """
    head, raw = _peeked(_read(stream, advance), _SIGNS)
    kind = compression(head)
    content = raw if kind is None else _decompressed(raw, kind, name)
    held: list[bytes] = []
    size = 0
    for block in content:
        held.append(block)
        size += len(block)
        if size >= at_once:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def compression(head: bytes) -> str | None:
    """Return how content with these first bytes is compressed: gz, bz2, xz, zst or None."""
    return next((kind for sign, kind in _SIGNS.items() if head.startswith(sign)), None)


def mark(content: Iterator[bytes], encoding: str | None) -> tuple[str | None, Iterator[bytes]]:
    """Return the encoding that a byte order mark says (None: there is none), and the content without the mark.

    With an `encoding`, a mark of another one is content.
    """
    head, content = _peeked(content, _BOMS)
    sign = next((sign for sign in _BOMS if head.startswith(sign)), b"")
    said = _BOMS.get(sign)
    if said is None or (encoding and not said.startswith(codecs.lookup(encoding).name.removesuffix("-sig"))):
        return None, content
    next(content)
    return said, chain([head[len(sign) :]], content)


def _tell_mark(tell: Tell, name: str, said: str) -> None:
    if said != "utf-8":
        tell(f"{name}: read as {said.upper()}, as its byte order mark says")


def _guessed(name: str, encoding: str) -> str:
    return f"{name}: not UTF-8, read as {encoding}, which it looks like; corpus.encoding=NAME says another"


def _undecoded(name: str, encoding: str, error: UnicodeDecodeError) -> ValueError:
    return ValueError(f"{name}: expected {encoding.upper()}, found bytes that are not ({error.reason})")


def _is_wide(encoding: str) -> bool:
    return encoding.startswith(("utf-16", "utf-32"))


def _without_mark(encoding: str | None) -> str:
    """Return the codec of an encoding whose byte order mark is not there."""
    name = codecs.lookup(encoding or "utf-8").name
    return {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(name, name)


def _read(stream: BinaryIO, advance: Advance | None) -> Iterator[bytes]:
    read: Any = getattr(stream, "read1", stream.read)  # `read` would wait until it has as much as it was asked for
    while data := read(_BLOCK):
        if advance:
            advance(len(data))
        yield data


def _peeked(content: Iterator[bytes], signs: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return enough of the start to tell which sign it begins with, and the content, which begins with just that."""
    head = b""
    while not head or any(len(head) < len(sign) and sign.startswith(head) for sign in signs):
        more = next(content, None)
        if more is None:
            break
        head += more
    return head, chain([head], content)


def _decompressed(raw: Iterator[bytes], kind: str, name: str) -> Iterator[bytes]:
    """Decompress members or frames one after another, with zeros for padding between and behind them."""
    current: Any = None
    started = False
    try:
        for data in raw:
            for start in range(0, len(data), _DECOMPRESSED_BYTES):
                part = data[start : start + _DECOMPRESSED_BYTES]
                while part:
                    if current is None:
                        part = part.lstrip(b"\0") if started else part
                        if not part:
                            break
                        current, started = _decompressor(kind), True
                    yield from _outputs(current, part)
                    part = b""
                    if current.eof:
                        part, current = current.unused_data, None
        if current is not None:
            raise EOFError("it ends within what is compressed")
    except _errors(kind) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the content
            raise
        raise ValueError(
            f"{name}: expected a whole {kind} file, found one that is broken or cut short ({error})"
        ) from error


def _decompressor(kind: str) -> Any:
    if kind == "gz":
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if kind == "zst":
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
    return bz2.BZ2Decompressor() if kind == "bz2" else lzma.LZMADecompressor()


def _errors(kind: str) -> tuple[type[Exception], ...]:
    if kind == "zst":
        import zstandard

        return EOFError, zstandard.ZstdError
    return EOFError, zlib.error, lzma.LZMAError, OSError


def _outputs(decompressor: Any, data: bytes) -> Iterator[bytes]:
    """Decompress bytes; what bz2 and xz make of them may be a thousand times as long, and is yielded in parts."""
    if not hasattr(decompressor, "needs_input"):
        if out := decompressor.decompress(data):
            yield out
        return
    while True:
        if out := decompressor.decompress(data, _BLOCK):
            yield out
        if decompressor.eof or decompressor.needs_input:
            return
        data = b""


def _is_superset_of_ascii(encoding: str) -> bool:
    """Whether the bytes of ASCII, the end of a line among them, mean themselves in an encoding."""
    try:
        return bytes(range(128)).decode(encoding) == bytes(range(128)).decode("ascii")
    except UnicodeError:
        return False


def _as_utf8(content: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Yield as UTF-8 what is text of an encoding with wider line ends; a last character that is cut is no UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if _is_wide(encoding) else "strict")
    try:
        for block in content:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _undecoded(name, encoding, error) from error
    try:
        yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # the last character is cut
        yield b"\xff"


def _whole_lines(content: Iterator[bytes], name: str, number: int) -> Iterator[bytes]:
    """Yield the content, which begins with the line of this number, in blocks that end with a line's end but for the
    last."""
    parts: list[bytes] = []  # of a line that is longer than a block, and its size
    size = 0
    for block in content:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*parts, block[:end]])
            number += block.count(b"\n")
            parts, size = [], 0
        if end < len(block):
            parts.append(block[end:])
            size += len(block) - end
        if size > LONGEST_LINE_BYTES:
            raise ValueError(
                f"{name}: expected lines of at most {LONGEST_LINE_BYTES:,} bytes, found more in line {number}"
            )
    if parts:
        yield b"".join(parts)


def decoded(content: bytes, encoding: str = "utf-8", shown: str = "UTF-8", of: str = "of the line") -> str:
    """Return the text that bytes are; what is none as `Undecodable`."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        bad = Undecodable(content.decode(encoding, "backslashreplace"))
        bad.reason = f"expected {shown}, found byte 0x{content[error.start]:02X} at byte {error.start + 1} {of}"
        if _is_wide(shown.lower()):
            bad.reason = f"expected {shown}, found half a character"
        return bad


def _line_by_line(block: bytes, encoding: str, shown: str, keep_ends: bool) -> list[str]:
    parts = block.split(b"\n")
    if not keep_ends:
        parts = [line.removesuffix(b"\r") for line in parts]
    return [decoded(line, encoding, shown) for line in parts]
