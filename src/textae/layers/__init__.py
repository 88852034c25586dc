"""Layers that change the length of a sequence, usable alone.

All layers of textae are registered with Keras when this is imported, so a program that imports nothing else of it loads
models that hold them.
"""

from importlib import import_module

from textae.layers.conv1d_transpose import Conv1DTranspose
from textae.layers.upsamplers import Downsample, Upsample

for _module in ("embedding", "fourier", "latents", "logits", "position_mask", "residual", "vectors"):
    import_module(f"textae.layers.{_module}")

__all__ = ["Conv1DTranspose", "Downsample", "Upsample"]
