"""Layers that change the length of a sequence, usable alone."""

from textae.layers.conv1d_transpose import Conv1DTranspose
from textae.layers.upsamplers import Downsample, Upsample

__all__ = ["Conv1DTranspose", "Downsample", "Upsample"]
