"""One-dimensional convolutional autoencoders for text.

Messages go to `logging`, to the logger "textae" and those below it: INFO for how work goes, WARNING for what may not be
meant, such as texts that are truncated or records that are left out. The package adds no handler. So a Python program
that sets none up shows the warnings alone, as Python does by itself; `logging.basicConfig(level="INFO")` shows all, and
`logging.getLogger("textae").setLevel("ERROR")` none. The commands show all of them on standard error.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textae.inference.text_autoencoder import load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Find `load` and the version when they are asked for, so that `textae.layers` alone stays light."""
    if name == "load":
        from textae.inference.text_autoencoder import load

        return load
    if name == "__version__":
        from importlib.metadata import version

        return version("textae")
    raise AttributeError(f"module 'textae' has no attribute {name!r}")
