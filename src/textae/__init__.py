"""One-dimensional convolutional autoencoders for text."""

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
