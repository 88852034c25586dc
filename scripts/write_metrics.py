"""Write the table of metrics in docs/metrics.md from `textae.config.metric_table`; --check only compares.

python scripts/write_metrics.py [--check]
"""

import sys
from pathlib import Path

from textae.config.metric_table import markdown

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: written by scripts/write_metrics.py -->\n", "<!-- end of metrics -->\n"


def page(text: str) -> str:
    """Return the page's text with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{markdown()}{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, or return 1 where it is not up to date."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in arguments:
        return int(page(text) != text)
    PAGE.write_text(page(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
