"""One-dimensional convolutional autoencoders for text.

`fit` trains one, `load` returns a trained one, and `Callback` is what a program does while one is trained.

Messages go to `logging`, to the logger "textae" and those below it: INFO for how work goes, WARNING for what may not be
meant, such as texts that are truncated or records that are left out. The package adds no handler. So a Python program
that sets none up shows the warnings alone, as Python does by itself; `logging.basicConfig(level="INFO")` shows all, and
`logging.getLogger("textae").setLevel("ERROR")` none. The commands show all of them on standard error.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textae.api.fitting import fit
    from textae.inference.text_autoencoder import TextAutoencoder, load
    from textae.training.callbacks import Callback, TrainingProgress

    __version__: str

__all__ = ["Callback", "TextAutoencoder", "TrainingProgress", "__version__", "fit", "load"]

_PLACES = {
    "Callback": "textae.training.callbacks",
    "TextAutoencoder": "textae.inference.text_autoencoder",
    "TrainingProgress": "textae.training.callbacks",
    "fit": "textae.api.fitting",
    "load": "textae.inference.text_autoencoder",
}


def __getattr__(name: str) -> Any:
    """Find what the package offers when it is asked for, so that `textae.layers` alone stays light."""
    if name in _PLACES:
        from importlib import import_module

        from textae.hardware import start_keras

        start_keras(own_process=False)
        return getattr(import_module(_PLACES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("textae")
    raise AttributeError(f"module 'textae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
