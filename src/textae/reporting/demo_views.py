"""What the demo page shows, as HTML: texts, tables and pictures. Texts may be untrusted, and are escaped.

Nothing here knows Gradio.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg

from textae.data.positions import num_positions
from textae.data.tokenizers import Tokenizer
from textae.evaluation.metrics import step_sizes
from textae.progress import escaped
from textae.reporting.aligned_parts import aligned_parts
from textae.reporting.latent_picture import SHOWN, latent_picture

if TYPE_CHECKING:
    from textae.evaluation.single_text import SingleText
    from textae.inference.anomalies import ScoredLine
    from textae.inference.latent_operations import Neighbour

SHOWN_PARTS = 2000  # tokens of a text
SHOWN_ROWS = 200  # of a table
_SHOWN_CHARACTERS = 500  # of a line in a table
# Gradio fills templates, whose signs a text must not bring in.
_TEMPLATE_SIGNS = str.maketrans({sign: f"&#{ord(sign)};" for sign in "{}$`"})
_VISIBLE = str.maketrans({"\t": "⇥", "\r": "␍"})

STYLE = """
.textae table { width: 100%; border-collapse: collapse; font-size: .92rem; }
.textae table, .textae tr { border: 0 !important; }
.textae th, .textae td { text-align: left; vertical-align: top; padding: .3rem .6rem; border: 0 !important; }
.textae th { font-weight: 600; border-bottom: 2px solid #8886 !important; }
.textae td { border-bottom: 1px solid #8883 !important; }
.textae td.number, .textae th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.textae td.line, .textae .text { font-family: ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.textae .text { font-size: .98rem; line-height: 1.75; padding: .6rem .8rem; border: 1px solid #8883;
  border-radius: .5rem; max-height: 22rem; overflow: auto; }
.textae h4 { margin: .8rem 0 .3rem; font-size: .92rem; font-weight: 600; }
.textae mark { background: #fecaca; color: #7f1d1d; border-radius: .2rem; padding: .05rem .1rem; }
.textae mark.right { background: #bbf7d0; color: #14532d; }
.textae .facts { display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; margin: .4rem 0; }
.textae .facts b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.textae .facts span { font-size: .82rem; opacity: .75; }
.textae img { width: 100%; background: white; border-radius: .5rem; }
.textae .bar { display: inline-block; height: .7rem; background: #14b8a6; border-radius: .2rem;
  vertical-align: middle; }
.textae .note { font-size: .86rem; opacity: .8; margin: .4rem 0; }
"""


def reconstruction_view(found: SingleText, tokenizer: Tokenizer) -> str:
    """Return a text above its reconstruction, what differs marked, and the metrics of it."""
    parts = aligned_parts(tokenizer, found.ids[:SHOWN_PARTS], found.document.ids[:SHOWN_PARTS])
    pairs = list(zip_longest(*parts))
    original = "".join(_part(one, one != other, "right") for one, other in pairs)
    answer = "".join(_part(other, one != other, "wrong") for one, other in pairs)
    more = max(len(found.ids), len(found.document.ids)) - SHOWN_PARTS
    note = f'<p class="note">The first {SHOWN_PARTS:,} tokens are shown.</p>' if more > 0 else ""
    return _block(
        f"{_facts(found)}<h4>Text</h4><div class='text original'>{original}</div>"
        f"<h4>Reconstruction</h4><div class='text reconstruction'>{answer}</div>{note}"
    )


def _facts(found: SingleText) -> str:
    values = found.metrics
    facts = [
        (f"{values['wrong_tokens']:,} of {values['tokens']:,}", "tokens wrong, the end counted"),
        (f"{values['token_accuracy']:.4f}", "token accuracy"),
        (f"{values['cer']:.4f}", "character error rate"),
        (f"{values['loss']:.4f}", "nats per token"),
        (f"{values['latent_floats_per_token']:.1f}", "floats per token"),
        (f"{values['stored_bits_per_token']:,.0f}", "bits per token, stored"),
    ]
    if "rate" in values:
        facts.append((f"{values['rate']:,.1f}", "bits per token that the noise leaves at most"))
    return "<div class='facts'>" + "".join(f"<div><b>{v}</b><span>{name}</span></div>" for v, name in facts) + "</div>"


def _part(part: str | None, marked: bool, kind: str) -> str:
    """Return a part of a text; a missing one is shown where it is marked."""
    if part is None:
        return f"<mark class='{kind}'>∅</mark>"
    shown = shown_text(part.replace(" ", "␣") if marked else part)
    return f"<mark class='{kind}'>{shown}</mark>" if marked else shown


def latent_view(found: SingleText, tokenizer: Tokenizer, stride: int, per_text: bool) -> str:
    """Return the picture of a text's latents, beside it that of what was decoded if noise or bits changed them.

    Args:
        found: the text.
        tokenizer: what its latents are labelled by.
        stride: tokens of a latent.
        per_text: whether a latent stands for a text or a segment, and has no label.
    """
    panels = [("latents", found.latents)]
    if found.decoded_latents is not found.latents:
        panels.append(("latents as they are decoded", found.decoded_latents))
    labels = []
    if not per_text:
        count = num_positions(len(found.ids) + 1, stride)
        labels = tokenizer.decode([found.ids[i * stride : (i + 1) * stride] for i in range(min(count, SHOWN))])
    count, size = found.latents.shape
    canvas, stream = FigureCanvasAgg(latent_picture(panels, labels)), io.BytesIO()
    canvas.print_png(stream)
    says = f"{count:,} latents of {size:,} floats" if count > 1 else f"one latent of {size:,} floats"
    data = base64.b64encode(stream.getvalue()).decode()
    note = f", the first {SHOWN} drawn" if count > SHOWN else ""
    return _block(f"<p class='note'>{says}{note}</p><img alt='{says}' src='data:image/png;base64,{data}'>")


def interpolation_view(texts: Sequence[str]) -> str:
    """Return the texts between two others, the size of each step, and how even the steps are."""
    sizes = step_sizes(texts)
    even = 1 / len(sizes)
    widest = max([*sizes, even])
    rows = [
        [
            (f"{number}", "number"),
            ("" if size is None else f"{size:.2f}", "number"),
            ("" if size is None else f"<span class='bar' style='width:{6 * size / widest:.2f}rem'></span>", ""),
            (shown_line(text), "line"),
        ]
        for number, (size, text) in enumerate(zip([None, *sizes], texts, strict=True), 1)
    ]
    note = (
        f"A step is the edit distance from the text before, in distances of the ends. Even steps on a straight line "
        f"would be {even:.2f} each; these are {min(sizes):.2f} to {max(sizes):.2f}, and {sum(sizes):.2f} together: "
        "1 means that none is a detour."
    )
    return _block(f"<p class='note'>{note}</p>{_table([('', 'number'), ('step', 'number'), '', 'text'], rows)}")


def neighbours_view(found: dict[str, list[Neighbour]]) -> str:
    """Return the nearest documents by each kind of vectors, the run's own first."""
    parts = []
    for name, neighbours in found.items():
        rows = [
            [(f"{near.similarity:.4f}", "number"), (f"{near.number + 1:,}", "number"), (shown_line(near.text), "line")]
            for near in neighbours
        ]
        table = _table([("cosine", "number"), ("number", "number"), "document"], rows)
        parts.append(f"<h4>by {html.escape(name.replace('_', ' '))}</h4>{table}")
    return _block("".join(parts))


def anomalies_view(rows: Sequence[ScoredLine], detectors: Sequence[str]) -> str:
    """Return lines with their scores, in the order that they are given.

    Args:
        rows: the lines.
        detectors: names of the scores, the model's first.
    """
    heads = [(name.replace("_", " "), "number") for name in (*detectors, "line")]
    cells = [
        [
            *((f"{score:.4f}", "number") for score in row.scores),
            (f"{row.number:,}", "number"),
            (shown_line(row.line), "line"),
        ]
        for row in rows[:SHOWN_ROWS]
    ]
    shown = f"{len(rows):,} lines" + (f", the first {SHOWN_ROWS} shown" if len(rows) > SHOWN_ROWS else "")
    return _block(f"<p class='note'>{shown}; a high score is an anomaly.</p>{_table([*heads, 'text'], cells)}")


def shown_line(text: str) -> str:
    """Return a line for a table, as HTML, without the rest of a long one."""
    return shown_text(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def shown_text(text: str) -> str:
    """Return a text as HTML that shows it as it is, control characters as escapes; lines stay."""
    lines = (escaped(line.translate(_VISIBLE)) for line in text.split("\n"))
    return html.escape("\n".join(lines)).translate(_TEMPLATE_SIGNS)


def _table(heads: Iterable[str | tuple[str, str]], rows: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return a table of HTML; cells are (HTML, class)."""
    named = [head if isinstance(head, tuple) else (head, "") for head in heads]
    head = "".join(f"<th class='{kind}'>{html.escape(text)}</th>" for text, kind in named)
    body = "".join("<tr>" + "".join(f"<td class='{kind}'>{cell}</td>" for cell, kind in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _block(content: str) -> str:
    return f"<div class='textae'>{content}</div>"
