"""Pages of the site that are no pages of docs/: mkdocs.yml names this file as its hook.

README.md, CONTRIBUTING.md and CHANGELOG.md, and the notebooks as pages of text and code. Links are written for the
repository: README.md links to docs/PAGE.md, and pages of docs/ to ../README.md. On the site both lead to the same page.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    pages = {page: from_root((ROOT / source).read_text(encoding="utf-8")) for source, page in PAGES.items()}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages[f"notebook-{path.stem}.md"] = from_notebook(path.read_text(encoding="utf-8"))
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links of a page of docs/ to what is elsewhere lead to the site's pages."""
    for source, page in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return _to_notebooks(markdown, r"\.\./")


def from_root(text: str) -> str:
    """Return a page of the root with links as they are for a page of docs/."""
    text = re.sub(r"\]\(docs/", "](", text)
    for source, page in PAGES.items():
        text = text.replace(f"]({source}", f"]({page}")
    return _to_notebooks(text, "")


def from_notebook(text: str) -> str:
    """Return a notebook's cells as a page, without outputs."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return _to_notebooks("\n\n".join(parts).replace("](../docs/", "]("), "") + "\n"


def _to_notebooks(text: str, folder: str) -> str:
    return re.sub(rf"\]\({folder}(?:notebooks/)?(\w+)\.ipynb", r"](notebook-\1.md", text)
