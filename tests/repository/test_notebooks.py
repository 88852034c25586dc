"""The notebooks are committed without outputs, and run from the first cell to the last."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

FOLDER = Path(__file__).parents[2] / "notebooks"
SHORTER: dict[str, dict[str, str]] = {  # of each notebook: what is replaced, so that it runs in seconds
    "layer": {},
    "corpus": {
        'training={"max_minutes": 4}': 'model={"channels": [32, 64], "latent_size": 32, "max_length": 64}, '
        'tokenizer="bytes", training={"max_steps": 30, "tokens_per_batch": 1024, "precision": "float32"}',
        "in topics.values()": "in list(topics.values())[:12]",
    },
}


def read(name):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_run():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SHORTER)


@pytest.mark.parametrize("name", SHORTER)
def test_outputs_are_not_committed(name):
    for cell in read(name).cells:
        assert cell.cell_type != "code" or (cell.outputs == [] and cell.execution_count is None)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a notebook in a folder of its own, and returns the names that its last cells made."""

    def follow(name, *expressions):
        nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
        notebook = read(name)
        for old, new in SHORTER[name].items():
            cells = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
            assert cells, f"expected {old!r} in a cell of {name}.ipynb, found none"
            for cell in cells:
                cell.source = cell.source.replace(old, new)
        notebook.cells += [nbformat.v4.new_code_cell(f"print(repr({expression}))") for expression in expressions]
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        source = os.pathsep.join([str(FOLDER.parent / "src"), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", source)
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
        said = notebook.cells[len(notebook.cells) - len(expressions) :]
        return ["".join(output.text for output in cell.outputs if output.name == "stdout").strip() for cell in said]

    return follow


@pytest.mark.slow
def test_your_own_corpus(run):
    count, metrics, shown, scores, same = run("corpus", "len(texts)", "ae.metrics", "ae", "len(scores)", "same")
    assert 50 < int(count) < 2000
    assert "'token_accuracy': " in metrics and "32 floats per 4 tokens" in shown
    assert (scores, same) == ("2", "True")


@pytest.mark.slow
def test_the_layer(run):
    accuracy, lengths, difference, same = run("layer", "accuracy", "lengths", "difference", "same")
    assert float(accuracy) > 0.95
    assert (lengths, same) == ("[7, 20, 21]", "True")
    assert float(difference) < 1e-4
