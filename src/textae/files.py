"""Writing files: the one place from which the package writes under a name.

A regular file appears, or is replaced, when all of it is on the disk: a temporary file beside it, flushed, renamed. A
symbolic link is followed, and its target replaced so. What is no regular file (a device, a pipe, a descriptor of this
process such as /dev/stdout) is written into as a stream, and never replaced or removed.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from textae.untrusted_files import kind_of

CLOSED: set[int] = set()  # the standard descriptors that were closed before the command began
_MOST_LINKS = 40  # as Linux follows
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Target:
    """Where a name leads: a regular file, there or not yet; or a stream, which may be a descriptor of this process."""

    path: Path
    stream: bool = False
    descriptor: int | None = None


def target(name: Path | str, key: str = "output", own: bool = False) -> Target:
    """Return where what is written under a name goes, "-" being standard output; nothing is written or opened.

    `own` is for files of a folder of ours, such as a run: there only regular files will do. `key` is the setting that
    gave the name, for messages.

    Raises:
        ValueError, PermissionError: nothing can be written there.
    """
    if str(name) == "-" and not own:
        _check_descriptor(1, "standard output", key)
        return Target(Path("-"), stream=True, descriptor=1)
    try:
        found = _own(Path(name)) if own else _followed(Path(name), key)
        if not found.stream and not own:
            _check_place(found.path, key)
    except OSError as error:
        if error.errno is None:  # one of ours
            raise
        raise ValueError(f"{key}: expected a name of a file, found {name}: {error.strerror}") from None
    return found


def _own(path: Path) -> Target:
    if (kind := kind_of(path)) not in (None, "file"):
        raise ValueError(f"expected a file of its own at {path}, found a {kind}")
    return Target(path)


def _followed(path: Path, key: str) -> Target:
    """Follow links one at a time: /dev/stdout leads to a descriptor, which may stand for a file with content."""
    given = path
    for _ in range(_MOST_LINKS):
        if (descriptor := _descriptor(Path(os.path.realpath(path.parent), path.name))) is not None:
            _check_descriptor(descriptor, given, key)
            return Target(path, stream=True, descriptor=descriptor)
        kind = kind_of(path) if path.parent.is_dir() else None
        if kind != "link":
            break
        path = path.parent / path.readlink()
    else:
        raise ValueError(f"{key}: expected the name of a file, found a loop of links at {given}")
    if kind == "folder":
        raise ValueError(f"{key}: expected the name of a file, found the folder {given}")
    if kind in (None, "file"):
        return Target(path)
    if stat.S_ISSOCK(path.stat().st_mode):
        raise ValueError(f"{key}: expected the name of a file, found the socket {given}")
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{key}: expected what may be written to, found {given} without that permission")
    return Target(path, stream=True)


def is_closed(descriptor: int) -> bool:
    """Return whether a standard descriptor was closed before the command began."""
    return descriptor in CLOSED


def _descriptor(path: Path) -> int | None:
    """Return the descriptor of this process that a path stands for, if it does."""
    found = re.fullmatch(rf"(?:/dev/fd|/proc/(?:self|{os.getpid()})(?:/task/\d+)?/fd)/(\d+)", str(path))
    return int(found[1]) if found else None


def _check_descriptor(descriptor: int, given: Path | str, key: str) -> None:
    try:
        if is_closed(descriptor):
            raise OSError
        import fcntl

        writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        raise ValueError(f"{key}: expected {given} to be open, found it closed") from None
    if not writable:
        raise ValueError(f"{key}: expected {given} to be open for writing, found it open for reading alone")


def _check_place(path: Path, key: str) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"{key}: expected the folder {path.parent} to exist, found none")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{key}: expected a file that may be written, found {path} that only may be read")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{key}: expected a folder that may be written to, found {path.parent}")


class _Named(io.BufferedWriter):
    """A file whose errors say what was to be written.

    A signal's exception between the system's write and Python's own account of it would have bytes written twice, so
    that none of this stands below the buffer.
    """

    def __init__(self, file: Path | int, called: str) -> None:
        self._called = called
        super().__init__(io.FileIO(file, "wb"))

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            _explain(error, self._called)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            _explain(error, self._called)


@contextmanager
def writing(
    path: Path | str, *, own: bool = False, seekable: bool = False, keep: Path | None = None, called: str | None = None
) -> Iterator[BinaryIO]:
    """Give a file to write bytes to; at the end of the block they stand under the name, or nothing has changed there.

    Args:
        path: the name; see `target`.
        own: whether it is a file of a folder of ours, which is not written through a link.
        seekable: whether it is written out of order; what goes into a stream is then collected in a temporary file.
        keep: where the file that was there before goes.
        called: what error messages say for the path.

    Raises:
        ValueError, PermissionError: as `target`.
        OSError: names the file.
    """
    found = target(path, own=own)
    called = called or ("standard output" if str(path) == "-" else str(path))
    if found.stream:
        with _stream(found, called) as stream:
            if not seekable:
                yield stream
                return
            with tempfile.TemporaryFile() as collected:
                yield collected
                collected.seek(0)
                shutil.copyfileobj(collected, stream)
        return
    place = found.path
    temporary = place.with_name(f".{place.name[:48]}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with _opened(temporary, called) as file:
            yield file
            _finish(file, place, called)
        try:
            if keep is not None and place.exists():
                place.replace(keep)
            _replace(temporary, place)
            _flush_folder(place.parent)
        except OSError as error:
            _explain(error, called, place)
    finally:
        with suppress(OSError):  # a folder that is gone has said so
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes, own: bool = False, keep: Path | None = None) -> None:
    """Write a file as a whole; arguments and errors are those of `writing`."""
    with writing(path, own=own, keep=keep, called=f"{path} ({len(content):,} bytes)") as file:
        file.write(content)


def write_text(path: Path | str, text: str, own: bool = False) -> None:
    """Write a text file as a whole."""
    write_bytes(path, text.encode("utf-8"), own)


def write_csv(path: Path | str, rows: Sequence[Mapping[str, Any]], own: bool = False) -> None:
    """Write rows with every column that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue(), own)


def temporary_for(name: str) -> str | None:
    """Return the name of the file that one of this name was to become; None if it is no temporary one of ours."""
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else None


def leftovers(folder: Path) -> Iterator[Path]:
    """Yield the temporary files below a folder that a process which was killed has left."""
    return (path for path in folder.rglob(".*.tmp") if temporary_for(path.name) is not None)


@contextmanager
def _stream(found: Target, called: str) -> Iterator[BinaryIO]:
    try:
        number = os.open(found.path, os.O_WRONLY) if found.descriptor is None else os.dup(found.descriptor)
    except OSError as error:
        _explain(error, called)
    with _Named(number, called) as stream:
        yield stream


def _opened(temporary: Path, called: str) -> BinaryIO:
    try:
        return _Named(temporary, called)
    except OSError as error:
        _explain(error, called, temporary)


def _finish(file: BinaryIO, place: Path, called: str) -> None:
    """Flush a new file to the disk, with the owner and permissions of the one that it replaces."""
    try:
        file.flush()
        with suppress(FileNotFoundError):
            before = place.stat()
            if hasattr(os, "fchown"):
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
        os.fsync(file.fileno())
    except OSError as error:
        _explain(error, called, place)


def _replace(temporary: Path, place: Path) -> None:
    try:
        temporary.replace(place)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A mount point, as containers make of single files: it can be written into, but not replaced.
        with temporary.open("rb") as source, place.open("wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())


def _explain(error: OSError, called: str, place: Path | None = None) -> NoReturn:
    """Raise an error of the system again with the name of what was to be written."""
    if error.errno is None or isinstance(error, BrokenPipeError):  # explained already; nobody reads any more
        raise error
    if place is not None and not place.parent.is_dir():
        raise OSError(
            f"expected the folder {place.parent}, found it deleted while {called.split(' (')[0]} was written"
        ) from error
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    raise kind(f"expected to write {called}, found: {error.strerror or error}") from error


def _flush_folder(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
