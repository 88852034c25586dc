"""Layers that change the length of a sequence, usable alone."""
