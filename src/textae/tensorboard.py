"""TensorBoard data of a run, written on every backend through tensorboardX.

Each split is a run of its own in a sub-folder (``train``, ``validation``, ``test``) with the same tags, so
that TensorBoard draws the splits in one chart per tag.
"""

import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

SPLITS = ("train", "validation", "test")
SHOWN_TOKENS = 300  # of a document in a table of texts
LABEL_CHARACTERS = 120  # of a label in the projector
HISTOGRAM_BINS = 64
FLUSH_SECONDS = 10.0  # at most this much is lost when the process is killed

# Characters that would be lost on the way through Markdown and HTML are shown as their pictures.
_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: "␡", ord("\n"): "⏎", ord("\t"): "⇥"}
_PICTURES |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


@dataclass(frozen=True)
class TextRow:
    """One document in a table of texts: a heading such as "worst", and its tokens as strings."""

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
        self._writers: dict[str, EventsWriter] = {}
        self._flushed = time.monotonic()

    def scalars(self, values: Mapping[str, float], step: int, split: str = "train") -> None:
        """Write one point per tag."""
        for tag, value in values.items():
            self._add(split, step, summary=summary.scalar(tag, float(value)))

    def texts(self, tag: str, rows: Sequence[TextRow], step: int, split: str = "validation") -> None:
        """Write a table of originals above their reconstructions, in which wrong tokens are marked."""
        self._add(split, step, summary=summary.text(tag, text_table(rows)))

    def figures(self, tag: str, figure: Figure, step: int, split: str = "validation") -> None:
        """Write a Matplotlib figure as an image."""
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

    def hparams(self, settings: Mapping[str, object], metrics: Mapping[str, float], step: int) -> None:
        """Write the run's row of the HParams tab: its settings and its final metrics of the test split.

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
        self.scalars(metrics, step, "test")

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
        (folder / f"{step:010d}.labels.tsv").write_text(metadata, encoding="utf-8", newline="\n")
        np.savetxt(folder / f"{step:010d}.latents.tsv", latents, fmt="%.6g", delimiter="\t")
        self._write_projector_config(split)

    def purge_from(self, step: int) -> None:
        """Drop everything written at ``step`` or later by an earlier process of this run.

        A run continued from a checkpoint calls this first, with the checkpoint's step + 1, so that
        TensorBoard shows neither doubles nor a jump back.
        """
        for split in SPLITS:
            if not (self.folder / split).is_dir():
                continue
            # TensorBoard drops earlier events from the step of such a mark on.
            self._add(split, step, session_log=SessionLog(status=SessionLog.START))
            for path in (self.folder / split / "projector").glob("*.tsv"):
                if int(path.name.split(".")[0]) >= step:
                    path.unlink()
            self._write_projector_config(split)

    def flush(self) -> None:
        """Write what is waiting to disk."""
        for writer in self._writers.values():
            writer.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the files; a later call of any other method opens new ones."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> "TensorBoardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, split: str, step: int, **content: object) -> None:
        self._writer(split).write_event(Event(wall_time=time.time(), step=int(step), **content))
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def _writer(self, split: str) -> EventsWriter:
        if split not in SPLITS:
            raise ValueError(f"expected one of {', '.join(SPLITS)} as split, received {split!r}")
        if split not in self._writers:
            folder = self.folder / split
            folder.mkdir(parents=True, exist_ok=True)
            # Without the suffix, a file opened within the same second would be overwritten. TensorBoard reads
            # the files of a folder in order of name.
            self._writers[split] = EventsWriter(str(folder / "events"), filename_suffix=f".{time.time_ns()}")
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
            config.write_text("".join(entries), encoding="utf-8")
        else:
            config.unlink(missing_ok=True)


def typical_and_worst(scores: ArrayLike, count: int) -> list[tuple[str, int]]:
    """Choose the ``count`` documents nearest the median score and the ``count`` lowest, as (heading, index).

    A document is chosen once; with fewer than ``2 * count`` of them there are fewer worst ones.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1:
        raise ValueError(f"expected one score per document, received shape {scores.shape}")
    if not scores.size:
        return []
    typical = np.argsort(np.abs(scores - np.median(scores)), kind="stable")[:count].tolist()
    worst = [index for index in np.argsort(scores, kind="stable").tolist() if index not in typical][:count]
    return [("typical", index) for index in typical] + [("worst", index) for index in worst]


def text_table(rows: Sequence[TextRow]) -> str:
    """Return an HTML table of documents, token below token, for TensorBoard's text tab.

    A token that differs from the one at its place is bold, in brackets, and shows its spaces; a missing one
    is shown as ∅. Plain HTML instead of Markdown, so that signs in the texts keep their shape; TensorBoard
    lets through no style, class, mark or del, and of what remains bold shows best.
    """
    lines = ["<table>"]
    for row in rows:
        pairs = list(zip_longest(row.original, row.reconstruction))
        wrong = [first != second for first, second in pairs]
        heading = f"{_escape(row.heading)}: {sum(wrong):,} of {len(pairs):,} tokens wrong"
        rest = ""
        if len(pairs) > SHOWN_TOKENS:
            rest = f" <em>{len(pairs) - SHOWN_TOKENS:,} more, {sum(wrong[SHOWN_TOKENS:]):,} wrong</em>"
        lines.append(f"<tr><th>{heading} (original, then reconstruction)</th></tr>")
        for side in (0, 1):
            tokens = [
                _marked(pair[side]) if different else _escape(pair[side])
                for pair, different in zip(pairs[:SHOWN_TOKENS], wrong, strict=False)
            ]
            lines.append(f"<tr><td>{''.join(tokens)}{rest}</td></tr>")
    lines.append("</table>")
    return "\n".join(lines)


def _escape(text: str) -> str:
    return html.escape(text.translate(_PICTURES), quote=False)


def _marked(token: str | None) -> str:
    shown = "∅" if token is None else _escape(token).replace(" ", "␣")
    return f"<strong>[{shown}]</strong>"


def _label(value: object) -> str:
    text = str(value).translate(_PICTURES)
    if not text.strip():  # the projector leaves out blank lines, and every later label would move up
        return "(empty)"
    return text if len(text) <= LABEL_CHARACTERS else text[: LABEL_CHARACTERS - 1] + "…"
