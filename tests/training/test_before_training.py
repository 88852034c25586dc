"""What can be known before the first update is told before it."""

import pytest

from textae.training import setup
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_of_which_nothing_is_left(tiny_config, tmp_path, monkeypatch, split):
    monkeypatch.setattr(setup, "build", None)  # it should not come so far
    (tmp_path / "long.txt").write_text("x" * 32 + "\n" + "y" * 50 + "\n")
    changes = {"model.overflow": "drop", f"corpus.{split}_files": [str(tmp_path / "long.txt")]}
    match = rf"expected documents of the {split} split of at most model.max_length=32 tokens, found none; model.overf"
    with pytest.raises(ValueError, match=match):
        fit(tiny_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
    (tmp_path / "long.txt").write_text("x" * 31 + "\n" + "y" * 50 + "\n")  # with its end it has 32 tokens
    with pytest.raises(TypeError, match="not callable"):
        fit(tiny_config(**changes), tmp_path / "run")
