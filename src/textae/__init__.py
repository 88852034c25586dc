"""One-dimensional convolutional autoencoders for text."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textae.autoencoder import load

__all__ = ["load"]
__version__ = version("textae")


def __getattr__(name: str) -> Any:
    """Import `load` when it is asked for, so that `textae.layers` alone stays light."""
    if name == "load":
        from textae.autoencoder import load

        return load
    raise AttributeError(f"module 'textae' has no attribute {name!r}")
