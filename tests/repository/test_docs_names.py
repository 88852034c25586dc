"""Keys, experiments, commands and files that the pages name exist."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from textae.config import schema

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
GROUPS = {
    "model": [schema.ModelConfig],
    "model.upsampler": [schema.UpsamplerConfig],
    "tokenizer": [schema.TokenizerConfig],
    "training": [schema.TrainingConfig],
    "training.corruption": [schema.CorruptionConfig],
    "corruption": [schema.CorruptionConfig],  # of textae.evaluate
    "corpus": schema.CORPORA.values(),
}
KEYS = {f"{group}.{each.name}" for group, kinds in GROUPS.items() for kind in kinds for each in fields(kind)}


def names(pattern):
    return [(page.name, found) for page in PAGES for found in re.findall(pattern, page.read_text(encoding="utf-8"))]


def test_keys():
    found = names(r"(?<![\w./])((?:model|tokenizer|training|corpus|corruption)\.[a-z_]\w*(?:\.[a-z_]\w*)*)=")
    assert len(found) > 100
    assert [pair for pair in found if pair[1] not in KEYS] == []


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        (r"\+experiment=(\w+)", "configs/experiment/{}.yaml"),
        (r"python -m textae\.(\w+)", "src/textae/{}.py"),
        (r"\b(scripts/\w+\.py)", "{}"),
        (r"\b(src/textae/[\w/]+(?:\.py|/))", "{}"),
        (r"\b(tests/[\w/]+\.py)", "{}"),
    ],
    ids=["experiments", "commands", "scripts", "modules", "tests"],
)
def test_files(pattern, place):
    own = ("NAME", "option")  # which stand for a name
    found = [pair for pair in names(pattern) if not any(word in pair[1] for word in own)]
    assert len(found) > 5
    assert [pair for pair in found if not (ROOT / place.format(pair[1])).exists()] == []
