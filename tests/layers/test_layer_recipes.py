"""The recipes of docs/layers.md, run as they are printed, make the numbers of the layer."""

import itertools
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from textae.layers import Upsample

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"
SHAPES = [*itertools.product([1, 2, 5], [1, 2, 3, 6], [1, 2, 3])]


@pytest.fixture(scope="module")
def recipes():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("implementation", ["auto", "conv2d"])
@pytest.mark.parametrize("name", ["expand_dims", "reshape", "permute", "keras_layer"])
def test_the_known_answers_are_the_layer(recipes, name, implementation):
    for length, kernel_size, stride in SHAPES if keras.backend.backend() == "tensorflow" else [(5, 3, 2)]:
        codes = np.random.default_rng(0).standard_normal((2, length, 3)).astype("float32")
        theirs = recipes[name](3, 4, kernel_size, stride)
        ours = recipes["ours"](3, 4, kernel_size, stride, implementation)
        kernel, bias = theirs.get_weights()
        ours.set_weights([kernel.reshape(kernel_size, 4, 3), bias + 0.5])
        theirs.set_weights([kernel, bias + 0.5])
        np.testing.assert_allclose(np.array(ours(codes)), np.array(theirs(codes)), atol=1e-5)


@pytest.mark.backend_free
def test_upsampling_then_convolution_is_the_resize_way(recipes):
    for length, kernel_size, stride in SHAPES[::5]:
        codes = np.random.default_rng(0).standard_normal((2, length, 3)).astype("float32")
        theirs = recipes["upsample"](3, 4, kernel_size, stride)
        ours = Upsample(4, kernel_size, stride, kind="resize_nearest")
        ours.build(codes.shape)
        ours.set_weights(theirs.get_weights())
        np.testing.assert_allclose(np.array(ours(codes)), np.array(theirs(codes)), atol=1e-5)


def test_the_first_example_gives_an_odd_length_back(recipes):
    assert recipes["model"](np.zeros((1, 7, 64), "float32")).shape == (1, 7, 64)
