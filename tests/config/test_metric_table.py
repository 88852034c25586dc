"""The table of metrics: every reader takes it from one place, and runs have exactly its metrics."""

from pathlib import Path

import pytest

from textae.config.metric_table import DIRECTIONS, METRICS, markdown, names

pytestmark = pytest.mark.backend_free
ROOT = Path(__file__).parents[2]


def test_names_are_unique():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_page_holds_the_table():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert markdown() in page, "python scripts/write_metrics.py"


def test_the_objective_may_be_each_metric_with_a_direction():
    assert set(DIRECTIONS.values()) == {"minimize", "maximize"}
    assert "documents" not in DIRECTIONS and DIRECTIONS["cer"] == "minimize"


def test_values_are_shown():
    table = {metric.name: metric for metric in METRICS}
    assert table["loss"].shown(None) == "not finite"
    assert table["tokens"].shown(12345) == "12,345"
    assert table["bleu"].shown(12.34567) == "12.35"
    assert names(group="training", column=True) == ("parameters", "steps", "train_seconds", "tokens_per_second")


def test_a_run_has_the_metrics_of_the_table(trained):
    _, metrics = trained
    assert set(metrics) == set(names(runs="all")) - {"cer_before"}
