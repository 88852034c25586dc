"""The site's pages; `mkdocs build --strict` in .ci/run checks that every link and name leads somewhere."""

import json
import re
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]


def test_links_of_the_root_lead_to_pages_of_the_site(monkeypatch):
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from site_pages import PAGES, from_notebook, from_root, on_page_markdown

    text = "[a](docs/a.md#b), [c](CONTRIBUTING.md#d), ![e](docs/e.png), [f](https://g/docs/h)"
    assert from_root(text) == "[a](a.md#b), [c](contributing.md#d), ![e](e.png), [f](https://g/docs/h)"
    assert on_page_markdown("[a](../CHANGELOG.md#b) [c](d.md)", page=None) == "[a](changelog.md#b) [c](d.md)"
    assert from_root("[n](notebooks/n.ipynb)") == on_page_markdown("[n](../notebooks/n.ipynb)") == "[n](notebook-n.md)"
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "[b](../docs/b.md) [c](c.ipynb)"]},
        {"cell_type": "code", "source": ["1"]},
    ]
    expected = "# A\n[b](b.md) [c](notebook-c.md)\n\n```python\n1\n```\n"
    assert from_notebook(json.dumps({"cells": cells})) == expected
    assert all((ROOT / source).is_file() for source in PAGES)


def test_every_page_is_in_the_navigation_once():
    loaded = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert loaded["strict"] is True
    found = re.findall(r"\b[\w-]+\.md\b", str(loaded["nav"]))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {"index.md", "contributing.md", "changelog.md"}
    pages |= {f"notebook-{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert sorted(found) == sorted(pages)
