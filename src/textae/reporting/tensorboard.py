"""TensorBoard data of a run, written on every backend through tensorboardX.

Each split is a run of its own in a sub-folder (``train``, ``validation``, ``test``) with the same tags, so
that TensorBoard draws the splits in one chart per tag.
"""

from __future__ import annotations

import html
import socket
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from tensorboardX import RecordWriter, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined] # made when it is imported

from textae.config.choices import SPLITS
from textae.files import write_text, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_COLUMNS = 96  # of a text that is compared
LABEL_CHARACTERS = 120  # of a label in the projector
HISTOGRAM_BINS = 64
_EVENTS = "events.out.tfevents."  # what a file's name begins with; then come seconds and the machine's name
FLUSH_SECONDS = 10.0  # at most this much is lost when the process is killed

# Characters that would be lost on the way through Markdown and HTML are shown as their pictures.
_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: "␡", ord("\n"): "⏎", ord("\t"): "⇥"}
_PICTURES |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


@dataclass(frozen=True)
class ComparedText:
    """One document among texts: a heading such as "worst", and the pieces of it that are compared, as strings."""

    heading: str
    original: Sequence[str]
    reconstruction: Sequence[str]


class TensorBoardWriter:
    """Writes the TensorBoard data of one run into ``folder``.

    Every method takes the training step it belongs to. ``split`` is "train", "validation" or "test"; anything
    else raises ValueError. Use it as a context manager or call ``close``.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        # Not tensorboardX's SummaryWriter: it hands events to a thread, and its flush does not wait for them.
        self._writers: dict[str, _EventFile] = {}
        self._flushed = time.monotonic()

    def scalars(self, values: Mapping[str, float], step: int, split: str = "train") -> None:
        """Write one point per tag."""
        for tag, value in values.items():
            self._add(split, step, summary=summary.scalar(tag, float(value)))

    def texts(self, tag: str, texts: Sequence[ComparedText], step: int, split: str = "validation") -> None:
        """Write originals above their reconstructions, wrong pieces marked."""
        self._add(split, step, summary=summary.text(tag, comparison(texts)))

    def figures(self, tag: str, figure: Figure, step: int, split: str = "validation") -> None:
        """Write a Matplotlib figure as an image."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self._add(split, step, summary=summary.image(tag, pixels, dataformats="HWC"))

    def histograms(self, arrays: Mapping[str, ArrayLike], step: int, split: str = "validation") -> None:
        """Write the distribution of each array; values that are not finite are left out."""
        for tag, array in arrays.items():
            values = np.asarray(array, np.float64).ravel()
            values = values[np.isfinite(values)]
            if values.size:
                self._add(split, step, summary=summary.histogram(tag, values, bins=HISTOGRAM_BINS))

    def layout(self, charts: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Write the charts of the custom-scalars tab: by category and title, regular expressions of their tags."""
        categories = {
            category: {title: ["Multiline", list(tags)] for title, tags in titles.items()}
            for category, titles in charts.items()
        }
        self._add("train", 0, summary=summary.custom_scalars(categories))

    def hparams(self, settings: Mapping[str, object], step: int) -> None:
        """Write the run's row of the HParams tab: its settings; its metrics are the scalars of the test split.

        The tab knows strings, numbers and booleans; any other setting (a list, None, a path) is written as
        its ``str``. Raises ValueError for a setting that is itself a mapping: flatten it first.
        """
        flat: dict[str, str | bool | int | float] = {}
        for name, value in settings.items():
            if isinstance(value, Mapping):
                raise ValueError(f"expected flat settings, received a mapping for {name!r}")
            if isinstance(value, np.generic):
                value = value.item()
            flat[name] = value if isinstance(value, str | bool | int | float) else str(value)
        # The summary that lists the experiment's columns is left out: of a sweep TensorBoard reads only the
        # first one. Without it, it gathers the columns of all runs and puts first the settings that differ.
        _, start, end = summary.hparams(flat, {})
        self._add("test", step, summary=start)
        self._add("test", step, summary=end)

    def embeddings(
        self,
        latents: ArrayLike,
        labels: Sequence[object] | Mapping[str, Sequence[object]],
        step: int,
        split: str = "validation",
    ) -> None:
        """Write latents of shape (points, dimensions) and their labels for the projector.

        ``labels`` is one label per point, or several named columns of them. Tabs and line ends are shown as
        pictures, and long labels are cut. Raises ValueError if latents and labels do not fit together.
        """
        latents = np.asarray(latents, np.float32)
        columns = labels if isinstance(labels, Mapping) else {"": labels}
        counts = [len(column) for column in columns.values()]
        if latents.ndim != 2 or not latents.size or not counts or set(counts) != {len(latents)}:
            raise ValueError(
                "expected latents of shape (points, dimensions) and a label per point, "
                f"received shape {latents.shape} and {counts} labels"
            )
        self._writer(split)  # the projector looks only into folders that hold an event file
        folder = self.folder / split / "projector"
        folder.mkdir(exist_ok=True)
        lines = ["\t".join(_label(cell) for cell in cells) for cells in zip(*columns.values(), strict=True)]
        if len(columns) > 1:  # the projector expects a line of names exactly if there are several columns
            lines.insert(0, "\t".join(_label(name) for name in columns))
        metadata = "".join(line + "\n" for line in lines)
        write_text(folder / f"{step:010d}.labels.tsv", metadata, own=True)
        with writing(folder / f"{step:010d}.latents.tsv", own=True) as file:
            np.savetxt(file, latents, fmt="%.6g", delimiter="\t")
        self._write_projector_config(split)

    def purge_from(self, step: int, splits: Sequence[str] = SPLITS) -> None:
        """Drop everything of the splits written at ``step`` or later by an earlier process of this run.

        A run continued from a checkpoint calls this first, with the checkpoint's step + 1, so that
        TensorBoard shows neither doubles nor a jump back.
        """
        for split in splits:
            if not (self.folder / split).is_dir():
                continue
            # TensorBoard drops earlier events from the step of such a mark on.
            self._mark(split, step)
            for path in (self.folder / split / "projector").glob("*.tsv"):
                if int(path.name.split(".")[0]) >= step:
                    path.unlink()
            self._write_projector_config(split)

    def flush(self) -> None:
        """Write what is waiting to disk."""
        with self._writing():
            for writer in self._writers.values():
                writer.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the files; a later call of any other method opens new ones."""
        with self._writing():
            for writer in self._writers.values():
                writer.close()
        self._writers.clear()

    def __enter__(self) -> TensorBoardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mark(self, split: str, step: int) -> None:
        self._add(split, step, session_log=SessionLog(status=SessionLog.START))

    def _add(self, split: str, step: int, **content: object) -> None:
        with self._writing():
            self._writer(split).write(Event(wall_time=time.time(), step=int(step), **content))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"expected to write TensorBoard's events in {self.folder}, found: {reason}") from error

    def _writer(self, split: str) -> _EventFile:
        if split not in SPLITS:
            raise ValueError(f"expected one of {', '.join(SPLITS)} as split, received {split!r}")
        if split not in self._writers:
            folder = self.folder / split
            folder.mkdir(parents=True, exist_ok=True)
            name = _next_name(folder)
            first = not any(folder.glob(f"{_EVENTS}*"))
            self._writers[split] = _EventFile(folder / name)
            if first:  # TensorBoard takes a folder's first mark for its beginning, and drops nothing
                self._mark(split, 0)
        return self._writers[split]

    def _write_projector_config(self, split: str) -> None:
        """List the latents that lie in the split's folder, newest first, which the projector shows first."""
        folder = self.folder / split / "projector"
        config = folder.parent / "projector_config.pbtxt"
        entries = []
        for path in sorted(folder.glob("*.latents.tsv"), reverse=True):
            step = path.name.split(".")[0]
            entries.append(
                "embeddings {\n"
                f'  tensor_name: "latents, step {int(step)}"\n'
                f'  tensor_path: "projector/{path.name}"\n'
                f'  metadata_path: "projector/{step}.labels.tsv"\n'
                "}\n"
            )
        if entries:
            write_text(config, "".join(entries), own=True)
        else:
            config.unlink(missing_ok=True)


class _EventFile:
    """A new file of events, at a path that is free."""

    def __init__(self, path: Path) -> None:
        self._records = RecordWriter(str(path))
        self.write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush, self.close = self._records.flush, self._records.close

    def write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())


def _next_name(folder: Path) -> str:
    """Return a name for events that sorts after all names of the folder, whatever the clock says.

    TensorBoard reads the files of a folder in order of name, and drops from the mark of a new start on what it has
    read before. A clock that was set back between two processes of a run must not put the later one first.
    """
    parts = (path.name.removeprefix(_EVENTS).split(".")[0] for path in folder.glob(f"{_EVENTS}*"))
    last = max((int(part) for part in parts if part.isdecimal()), default=-1)
    return f"{_EVENTS}{max(int(time.time()), last + 1):010d}.{socket.gethostname()}"


def comparison(texts: Sequence[ComparedText]) -> str:
    """Return HTML that shows texts, piece below piece, for TensorBoard's text tab.

    A piece that differs from the one at its place is bold, in brackets, and shows its spaces; a missing one
    is shown as ∅. Lines are broken at the same pieces, and pieces are as wide as their counterparts. Plain HTML
    instead of Markdown, so that signs in the texts keep their shape; TensorBoard lets through no style, class,
    mark or del, and of what remains `pre` aligns and bold marks best.
    """
    parts = []
    for text in texts:
        lines = ["\n".join("".join(side) for side in zip(*line, strict=True)) for line in _lines(text)]
        heading = html.escape(_visible(text.heading), quote=False)
        parts.append(f"<h4>{heading}</h4>\n<pre>" + "\n \n".join(lines) + "\n</pre>")
    return "\n".join(parts)


def _lines(text: ComparedText) -> Iterator[list[tuple[str, str]]]:
    """Yield lines of (original, reconstruction) pieces as HTML, padded to equal widths."""
    line, width = [], 0
    for pair in zip_longest(text.original, text.reconstruction):
        marked = pair[0] != pair[1]
        shown = [_marked(piece) if marked else _visible(piece) for piece in pair]
        widths = [_width(piece) for piece in shown]
        if line and width + max(widths) > LINE_COLUMNS:
            yield line
            line, width = [], 0
        cells = [html.escape(piece, quote=False) for piece in shown]
        if marked:
            cells = [f"<strong>{cell}</strong>" for cell in cells]
        line.append(tuple(cell + " " * (max(widths) - own) for cell, own in zip(cells, widths, strict=True)))
        width += max(widths)
    if line:
        yield line


def _visible(text: str) -> str:
    return text.translate(_PICTURES)


def _marked(piece: str | None) -> str:
    return "[∅]" if piece is None else f"[{_visible(piece).replace(' ', '␣')}]"


def _width(text: str) -> int:
    """Return the columns that a text takes in a font of fixed width."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _label(value: object) -> str:
    text = str(value).translate(_PICTURES)
    if not text.strip():  # the projector leaves out blank lines, and every later label would move up
        return "(empty)"
    return text if len(text) <= LABEL_CHARACTERS else text[: LABEL_CHARACTERS - 1] + "…"
