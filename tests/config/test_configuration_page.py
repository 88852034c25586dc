"""docs/configuration.md is what the schemas and the YAML files say, and no key is without a meaning."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("write_configuration", ROOT / "scripts" / "write_configuration.py")
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/write_configuration.py"


def test_what_a_row_says():
    lines = script.page().splitlines()
    meaning = "downsampling factor from each level to the next, in the encoder; the decoder mirrors it"
    assert f"| `model.strides` | list of whole numbers | `[4]` | {meaning} |" in lines
    assert "| `training.patience` | whole number, null | `null` |" in "\n".join(lines)
    assert "| `corpus.files` | list of texts | must be given |" in "\n".join(lines)
    assert "| `corpus` | an option of `corpus`, with its keys | `run` | the run's corpus, or another one |" in lines
    for option in ("`upsamplers`", "`resize_linear`", "`words`"):
        assert any(line.startswith(f"| {option} | ") for line in lines)


@dataclasses.dataclass
class Silent:
    """A schema of one key."""

    key: int = 3


def test_a_key_without_a_meaning_is_refused():
    with pytest.raises(ValueError, match=r"expected a comment with the meaning of Silent\.key, found none"):
        script.keys(Silent)
