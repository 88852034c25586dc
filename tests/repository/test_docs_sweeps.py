"""The commands of docs/sweeps.md and docs/tensorboard.md, on a corpus of moments and with models of a few weights."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.backend_free

DOCS = Path(__file__).parents[2] / "docs"
SMALLER = [
    "tokenizer=bytes", "tokenizer.vocabulary_size=null", "model.max_length=32", "training.max_steps=1",
    "training.tokens_per_batch=256", "training.num_length_buckets=1", "training.warmup_steps=1",
    "training.validation_documents=5",
]  # fmt: skip


def commands(page):
    """The lines of a page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def smaller(line, corpus_file):
    """The same command on a small corpus, with small models and few jobs."""
    command = shlex.split(line)
    if command[2] != "textae.train":
        return line
    own = [] if "corpus=text" in command else ["corpus=text", f"corpus.files=[{corpus_file}]"]
    own += ["corpus.test_share=0.05", "corpus.validation_share=0.05"]
    if not any("experiment" in argument for argument in command):
        own += ["model.channels=[8,8]", "model.residual_blocks=[0,0]"]
    if "+experiment=upsamplers" in command:
        own += ["model.channels=[8,8,8]", "model.residual_blocks=[0,0,0]"]
    if "hydra/sweeper=optuna" in command:
        own.append("hydra.sweeper.n_trials=2")
    return shlex.join([*command, *SMALLER, *own])


@pytest.mark.slow
@pytest.mark.parametrize("page", ["sweeps.md", "tensorboard.md"])
def test_commands(page, forks, corpus_file, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    lines = corpus_file.read_text(encoding="utf-8").splitlines()
    (tmp_path / "reviews.jsonl").write_text(
        "".join(f'{{"body": "{line}", "stars": {len(line) % 5}}}\n' for line in lines)
    )
    found = [line for line in commands(page) if line.startswith("python -m textae.")]
    others = {line.split()[0] for line in commands(page) if line not in found}
    assert others <= {"tensorboard", "pip", "mlflow", "wandb", "WANDB_MODE=offline"}
    assert len(found) >= 3
    printed, said = "", ""
    for line in found:
        _, _, module, *arguments = shlex.split(smaller(line, corpus_file))
        command = module.removeprefix("textae.")
        ended = forks.run(arguments, command=command, cwd=tmp_path, env={"TEXTAE_DATA": "data"})
        assert ended.code == 0, f"{line}\n{ended.errors}"
        printed, said = printed + ended.output.decode(), said + ended.errors
    if page == "sweeps.md":
        table = (tmp_path / "outputs" / "comparison" / "report.txt").read_text()
        for name in ("resize_linear", "resize_nearest", "subpixel", "transpose", "kind", "token_accuracy"):
            assert name in table
        assert (tmp_path / "runs.png").is_file()
        assert printed.count("| run ") == 3 and "tokens_per_second" in printed  # the last one with all=true
        assert len(list(tmp_path.glob("outputs/*/*/optimization_results.yaml"))) == 1
    else:
        assert f"tensorboard --logdir {tmp_path / 'outputs' / 'look'}" in said
        found = [path.read_text() for path in tmp_path.glob("outputs/debug/*/test/projector/*.labels.tsv")]
        assert sum(labels.startswith("text\tlabel\t") for labels in found) == 1
    shutil.rmtree(tmp_path / "data")
