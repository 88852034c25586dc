"""Masks `(batch, length)` of sequences, True at what counts, through changes of length."""

import keras
from keras import ops

from textae.layers.implementations import LAYOUT
from textae.layers.lengths import remainder_range
from textae.layers.windows import asked_length, known_length, window


def masked(inputs, mask):
    """Return inputs `(batch, length, channels)` with zeros at the steps that do not count."""
    return ops.where(ops.expand_dims(mask, -1), inputs, ops.zeros_like(inputs))


def shrink(mask, stride):
    """Return the mask `(batch, ceil(length/stride))`: a step counts where any of its positions does."""
    counts = ops.cast(ops.expand_dims(mask, -1), "float32")
    return ops.squeeze(ops.max_pool(counts, stride, stride, padding="same", data_format=LAYOUT), -1) > 0


@keras.saving.register_keras_serializable(package="textae")
class Stretch(keras.Operation):
    """Mask `(batch, length)` to `(batch, new_length)`; an operation, so that it also takes symbols.

    With stride s and output remainder r (see `lengths`), step i counts for positions i*s to i*s + max(s, r) - 1 of the
    output: a mask of the first m steps marks as many positions as m steps alone would make.
    """

    def __init__(self, geometry, output_length=None, length_axis=1, name=None):
        super().__init__(name=name)
        self.geometry = tuple(geometry)
        self.output_length = output_length
        self.length_axis = length_axis

    def call(self, mask, output_length=None):
        """Return the new mask of `(batch, length)`; `output_length` is a tensor, or None for the constructor's."""
        stride = self.geometry[1]
        mask, _, remainder = window(ops.cast(mask, "bool"), self._asked(output_length), *self.geometry)
        own = ops.repeat(mask, stride, axis=1)
        known = isinstance(remainder, int)
        longest = max((remainder if known else remainder_range(*self.geometry[:4])[1]) - stride, 0)
        spread = ops.pad(own, ((0, 0), (0, longest)))
        for shift in range(1, longest + 1):
            moved = ops.pad(own, ((0, 0), (shift, longest - shift)))
            if not known:  # a shift beyond the remainder does not count
                moved = ops.logical_and(moved, shift <= remainder - stride)
            spread = ops.logical_or(spread, moved)
        return spread[:, : (ops.shape(mask)[1] - 1) * stride + remainder]

    def compute_output_spec(self, mask, output_length=None):
        """Return the mask `(batch, new_length)`, new_length None where it is not known."""
        length = known_length(mask.shape[1], self._asked(output_length), *self.geometry)
        return keras.KerasTensor((mask.shape[0], length), dtype="bool")

    def get_config(self):
        """Return every argument of the constructor."""
        return {
            "geometry": self.geometry,
            "output_length": self.output_length,
            "length_axis": self.length_axis,
            "name": self.name,
        }

    def _asked(self, output_length):
        return self.output_length if output_length is None else asked_length(output_length, self.length_axis)
