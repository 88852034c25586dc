"""The demo page, in Gradio: it lays out the controls, and hands what they hold to `demo_answers`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from textae.reporting.demo_views import STYLE, shown_text

if TYPE_CHECKING:
    from textae.reporting.demo_answers import DemoAnswers

HOST = "127.0.0.1"
LARGEST_FILE = "16mb"
_SANS = ["system-ui", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]  # of the system: nothing is downloaded
_MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]
_CSS = STYLE + (
    ".gradio-container { width: 100% !important; max-width: 1180px !important; margin: 0 auto !important; }"
    ".gradio-container > main { width: 100% !important; }"
)
_ALONE = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}


def demo_page(answers: DemoAnswers, name: str, about: str, examples: Sequence[str]) -> Any:
    """Return the page as Gradio's `Blocks`.

    Args:
        answers: what it shows.
        name: of the run.
        about: a line on the run.
        examples: at least two texts to begin with.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported
    import gradio as gr

    with gr.Blocks(title=f"textae: {name}", analytics_enabled=False) as page:
        gr.HTML(f"<div class='textae'><h2>{shown_text(name)}</h2><p class='note'>{shown_text(about)}</p></div>")
        with gr.Tab("Reconstruct"):
            _reconstruct(gr, page, answers, examples[0])
        with gr.Tab("Interpolate"):
            _interpolate(gr, answers, examples)
        with gr.Tab("Neighbours"):
            _neighbours(gr, answers, examples[0])
        with gr.Tab("Anomalies"):
            _anomalies(gr, answers)
    return page


def _reconstruct(gr: Any, page: Any, answers: DemoAnswers, example: str) -> None:
    there = answers.channel is not None
    text = gr.Textbox(example, label="Text", lines=3, max_lines=12, elem_id="text")
    with gr.Row():
        noise = gr.Slider(
            0, 0.95, 0, step=0.05, label="Noise", elem_id="noise", interactive=there,
            info="a of sqrt(1 - a) x + sqrt(a) e, as evaluate curve=noise" if there else "needs the run's corpus",
        )  # fmt: skip
        bits = gr.Slider(
            1, 32, 32, step=1, label="Bits of a float", elem_id="bits", interactive=there,
            info="1 to 16, as evaluate curve=bits; above: float32" if there else "needs the run's corpus",
        )  # fmt: skip
        seed = gr.Number(0, label="Seed of the noise", elem_id="seed", precision=0, minimum=0, interactive=there)
    reconstruction = gr.HTML(elem_id="reconstruction")
    latents = gr.HTML(elem_id="latents")
    gr.on(
        [page.load, text.input, noise.change, bits.change, seed.change],
        _refusing(gr, answers.reconstruction),
        [text, noise, bits, seed],
        [reconstruction, latents],
        trigger_mode="always_last",
        show_progress="hidden",
        **_ALONE,
    )


def _interpolate(gr: Any, answers: DemoAnswers, examples: Sequence[str]) -> None:
    with gr.Row():
        first = gr.Textbox(examples[0], label="First text", lines=2, elem_id="first")
        last = gr.Textbox(examples[1], label="Last text", lines=2, elem_id="last")
    steps = gr.Slider(3, 21, 9, step=1, label="Texts, both ends counted", elem_id="steps")
    button = gr.Button("Interpolate", variant="primary", elem_id="interpolate")
    shown = gr.HTML(elem_id="interpolation")
    gr.on([button.click, steps.release], _refusing(gr, answers.interpolation), [first, last, steps], shown, **_ALONE)


def _neighbours(gr: Any, answers: DemoAnswers, example: str) -> None:
    text = gr.Textbox(example, label="Text", lines=2, elem_id="query")
    pasted, file = _lines_or_file(gr, "Documents, one per line", "documents")
    with gr.Row():
        count = gr.Slider(1, 50, 10, step=1, label="Neighbours", elem_id="count")
        baseline = gr.Checkbox(True, label="beside those by a bag of words", elem_id="neighbours-baseline")
    button = gr.Button("Find the nearest", variant="primary", elem_id="find")
    shown = gr.HTML(elem_id="neighbours")
    button.click(_refusing(gr, answers.neighbours), [text, pasted, file, count, baseline], shown, **_ALONE)


def _anomalies(gr: Any, answers: DemoAnswers) -> None:
    pasted, file = _lines_or_file(gr, "Log, one entry per line", "log")
    there = answers.train is not None
    label = "with baselines, fitted to the train split" if there else "baselines need the run's corpus"
    baseline = gr.Checkbox(False, label=label, elem_id="anomalies-baseline", interactive=there)
    button = gr.Button("Score", variant="primary", elem_id="score")
    shown = gr.HTML(elem_id="anomalies")
    button.click(_refusing(gr, answers.anomalies), [pasted, file, baseline], shown, **_ALONE)


def _lines_or_file(gr: Any, label: str, name: str) -> tuple[Any, Any]:
    with gr.Row():
        pasted = gr.Textbox(label=label, lines=8, max_lines=8, scale=3, elem_id=name)
        file = gr.File(label="or a file", type="filepath", scale=1, height=210, elem_id=f"{name}-file")
    return pasted, file


def _refusing(gr: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with errors of invalid input as messages of the page."""

    @wraps(function)
    def wrapped(*given: Any) -> Any:
        try:
            return function(*given)
        except (ValueError, TypeError, OSError) as error:
            raise gr.Error(shown_text(str(error)[:400]), print_exception=False) from None

    return wrapped


def start(page: Any, port: int, open_browser: bool) -> str:
    """Serve the page on the loopback interface, in threads of this process, and return its address.

    Raises:
        OSError: the port is taken.
    """
    from gradio.themes import Default

    local = [os.environ.get("NO_PROXY", ""), HOST, "localhost"]
    os.environ["NO_PROXY"] = ",".join(filter(None, local))  # Gradio asks its own page whether it is there
    _, address, _ = page.queue().launch(
        server_name=HOST,
        server_port=port,
        inbrowser=open_browser,
        inline=False,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        max_file_size=LARGEST_FILE,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=Default(primary_hue="teal", font=_SANS, font_mono=_MONO),
        css=_CSS,
    )
    return address
