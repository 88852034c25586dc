"""What a code costs: capacity under noise."""

import numpy as np
import pytest

from textae.evaluation.rates import capacity

pytestmark = pytest.mark.backend_free


def test_capacity():
    assert capacity([3.0, 15.0, 0.0], 1.0) == pytest.approx(1 + 2)
    assert capacity([3.0, 15.0], [1.0, 5.0]) == pytest.approx(1 + 1)
    assert capacity(np.full(128, 1.0), 0.3**2) / 4 == pytest.approx(57.6, abs=0.1)  # 128 floats for 4 tokens
    with pytest.raises(ValueError, match=r"expected noise of a variance above 0, received 0\.0"):
        capacity([1.0], [1.0, 0.0])
