"""The score of a text: odd tokens where the prediction was sure count, rare ones where it was not do not."""

import numpy as np
import pytest

from textae.inference.anomalies import anomaly_score
from textae.losses.prediction import Surprise

pytestmark = pytest.mark.backend_free


def score(losses, entropies, variances):
    return anomaly_score(Surprise(*(np.array(values, np.float32) for values in (losses, entropies, variances))))


def test_a_score_worked_by_hand():
    assert score([5, 2, 1, 1, 3, 1], [1, 1, 1, 1, 1, 1], [3, 0, 8, 0, 0, 0]) == pytest.approx((2 + 1 + 2 + 0) / 4)
    assert score([5], [1], [3]) == pytest.approx(0.5)  # a short text is no odder for it


def test_what_was_not_to_be_expected_counts():
    quiet = np.full(50, 0.01)
    name, action = quiet.copy(), quiet.copy()
    name[10:16] = action[10:16] = 4.0
    likely = np.where(name > 1, 3.5, 0.01)  # any name may stand there
    assert score(action, quiet, quiet) > 4 * score(name, likely, quiet)
    assert score(np.tile(action, 3), np.tile(quiet, 3), np.tile(quiet, 3)) >= score(action, quiet, quiet)


def test_no_number_stays_none():
    assert np.isnan(score([np.nan, 1, 1, 1, 1], np.zeros(5), np.zeros(5)))
