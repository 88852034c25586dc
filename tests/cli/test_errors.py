"""What the commands say about configurations and input that will not do: one line, exit code 2, nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.backend_free

SECONDS = 30  # a command that says no does so at once; generous, for a machine that is busy
# Commands that say no, one a line, in a process of their own: the modules of a backend that were loaded are printed.
LIGHT = """
import runpy, shlex, sys
for line in sys.stdin:
    command, *sys.argv[1:] = shlex.split(line)
    try:
        runpy.run_module(f"textae.{command}", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        print(stop.code, *sorted({"keras", "tensorflow", "jax"} & set(sys.modules)))
"""


@pytest.fixture
def run(forks, tmp_path):
    """A function that runs a command in an empty folder: (exit code, lines of standard error, seconds)."""
    place = tmp_path / "place"
    place.mkdir()

    def made(command, *arguments, **options):
        ended = forks.run(arguments, command=command, cwd=place, **options)
        assert ended.output == b"" or ended.code == 0
        return ended.code, ended.errors.splitlines(), ended.seconds

    made.place = place
    return made


def refused(run, *arguments, says, **options):
    """Check that a command is refused with one line that holds `says`, soon, and leaves the folder as it was."""
    before = sorted(path for path in run.place.rglob("*") if "data" not in path.relative_to(run.place).parts)
    code, lines, seconds = run(*arguments, **options)
    assert code == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("textae: ")
    for part in [says] if isinstance(says, str) else says:
        assert part in lines[0] + "\n"
    assert seconds < SECONDS
    after = sorted(path for path in run.place.rglob("*") if "data" not in path.relative_to(run.place).parts)
    assert after == before
    assert not list(run.place.rglob("*.tmp"))


CONFIGURATIONS = [
    ("modle.strides=[2]", "unknown key modle.strides; did you mean model.strides?"),
    ("model.stride=[2]", "unknown key model.stride; did you mean model.strides?"),
    ("strides=[2]", "unknown key strides; did you mean model.strides?"),
    ("tokenzier=bpe", "unknown key tokenzier; did you mean tokenizer?"),
    ("training.lr=0.1", "unknown key training.lr; did you mean training.learning_rate?"),
    ("training.batch_tokens=9", "unknown key training.batch_tokens; it was renamed to training.tokens_per_batch"),
    ("+model.widths=[9,9]", "unknown key model.widths; it was renamed to model.channels"),
    ("training.informed_start=false", "unknown key training.informed_start; it was renamed to model.initialization"),
    (
        "model.overflow=cut",
        "model.overflow: expected one of split, truncate, drop, found cut; it was renamed to truncate",
    ),
    ("model=chunk", "unknown option model=chunk; it was renamed to model=sequence"),
    ("model=vectr", "unknown option model=vectr; did you mean model=vector?"),
    ("+experiment=chunk5", "unknown option experiment=chunk5; did you mean experiment=chunk4?"),
    ("+model.foo=3", "unknown key model.foo\n"),
    ("xyz.qqq=3", "unknown key xyz.qqq\n"),
    ("corpus.files=[a.txt]", "expected corpus=text in front of corpus.files"),
    ("training.seed=abc", "training.seed: expected a whole number, found abc"),
    ("training.learning_rate=fast", "training.learning_rate: expected a number, found fast"),
    ("model.tie_embeddings=maybe", "model.tie_embeddings: expected true or false, found maybe"),
    ("training.seed=null", "training.seed: expected a value, found null"),
    ("model.strides=4", "model.strides: expected a list, as in model.strides=[4], found 4"),
    ("model.latent=foo", "model.latent: expected one of sequence, vector, found foo"),
    ("+experiment=foo", ["unknown option experiment=foo; expected one of", "debug"]),
    ("experiment=debug", "expected +experiment=NAME"),
    ("corpus=foo", "unknown option corpus=foo; expected one of pydocs, text, tfds"),
    ("corpus=5", "unknown option corpus=5; expected one of pydocs, text, tfds\n"),
    ("model=3", "unknown option model=3; expected one of sequence, vector"),
    (
        "training.corruption=0.3",
        "training.corruption: expected training.corruption.KEY=0.3, where KEY is one of drop, mask, mask_span, "
        "substitute, shuffle, found training.corruption=0.3\n",
    ),
    ("corpus.kind=text", "expected corpus.kind=pydocs, as corpus=pydocs sets it, received 'text'"),
    ("corpus=run", "expected corpus.kind as one of pydocs, text, tfds, received 'run'"),
    ("corpus=text", "expected corpus.files=[...], found none"),
    ("corpus=tfds", "expected corpus.name=..., found none"),
    ("foo", "expected key=value"),
    ("model.strides=[4", ["expected key=value", "found model.strides=[4"]),
    ("model.strides=[]", ["expected model.strides of one or more", "received []"]),
    ("model.strides=[0]", ["expected model.strides", "received [0]"]),
    ("model.strides=[2,2]", ["expected model.channels with one entry more"]),
    ("model.max_length=30", ["expected model.max_length as a multiple", "(4), received 30"]),
    ("training.max_steps=0", "training.max_steps"),
    ("hydra/launcher=foo", "unknown option hydra/launcher=foo"),
]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        pytest.param(argument, says, id=argument, marks=pytest.mark.slow if number % 3 else ())
        for number, (argument, says) in enumerate(CONFIGURATIONS)
    ],
)
def test_a_configuration_that_cannot_be(run, argument, says):
    refused(run, "train", argument, says=says)


def test_every_job_of_a_sweep_that_cannot_be_is_named(run):
    code, lines, _ = run("train", "-m", "model.max_length=30,3", "hydra.sweep.dir=sweep")
    assert code == 2
    assert [line[:14] for line in lines if line.startswith("textae:")] == ["textae: job 0 ", "textae: job 1 "]
    assert [line for line in lines if not line.startswith("textae:")] == [
        "job 0: model.max_length=30",
        "job 1: model.max_length=3",
    ]
    assert not list(run.place.iterdir())


def text_corpus(run, content, name="a.txt", **settings):
    (run.place / name).write_bytes(content)
    return ["corpus=text", f"corpus.files=[{name}]", "data_dir=data", *(f"corpus.{k}={v}" for k, v in settings.items())]


def test_a_missing_file(run):
    arguments = ["corpus=text", "corpus.files=[nope.txt]"]
    refused(run, "train", *arguments, says="expected the file nope.txt, found none")


def test_a_glob_without_match(run):
    arguments = ["corpus=text", "corpus.files=[nope/*.txt]"]
    refused(run, "train", *arguments, says="expected a file that matches nope/*.txt, found none")


def test_files_without_brackets(run):
    refused(run, "train", "corpus=text", "corpus.files=a.txt", says="corpus.files=[a.txt]")


def test_an_unknown_field(run):
    content = b'{"body": "some text"}\n{"body": "more"}\n'
    arguments = text_corpus(run, content, "a.jsonl", field="text")
    refused(run, "train", *arguments, says=["a.jsonl, line 1: expected a field text, found body"])


def test_a_format_that_needs_a_field(run):
    refused(run, "train", *text_corpus(run, b"{}\n", "a.jsonl"), says="expected field=NAME, which jsonl needs")


def test_an_empty_corpus(run):
    refused(run, "train", *text_corpus(run, b"\n\n"), says="found")


def test_a_corpus_that_is_not_utf8(run):
    refused(run, "train", *text_corpus(run, b"good\nb\xffd\n"), says=["a.txt, line 2: expected UTF-8", "0xFF"])


@pytest.mark.slow
def test_saying_no_loads_no_backend(run, trained, tmp_path):
    """And there it is said in processes as users have them, whatever the others here begin with."""
    (run.place / "a.txt").write_bytes(b"\n\n")
    lines = [
        "train modle.strides=[2]",
        "train model.strides=[]",
        "train corpus=text corpus.files=[a.txt] data_dir=data",
        "reconstruct run=nowhere",
        f"encode run={trained[0]}",
        f"decode run={trained[0]} input=z.npz",
        f"evaluate run={trained[0]} split=dev",
        f"export run={trained[0]} output=x format=tflite",
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        input="\n".join(lines),
        cwd=run.place,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["2"] * len(lines), done.stderr
    assert [line.startswith("textae: ") for line in done.stderr.splitlines()] == [True] * len(lines)


def test_a_data_set_without_network(tmp_path):
    """A proxy that refuses at once stands for a network that is not there; a process of its own reads the variables."""
    env = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env |= {"TFDS_DATA_DIR": str(tmp_path / "tfds"), "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-m", "textae.train", "corpus=tfds", "corpus.name=ag_news_subset"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("textae: ") and "nor a network" in line
    assert time.monotonic() - started < SECONDS
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_too_large_for_the_corpus(run, corpus_file):
    """Told after the corpus was prepared, which is said on a line of its own the first time."""
    arguments = ["corpus=text", f"corpus.files=[{corpus_file}]", "data_dir=data", "tokenizer.vocabulary_size=99999"]
    code, lines, _ = run("train", *arguments)
    assert code == 2
    assert [line.startswith("textae:") for line in lines] == [False, True]
    assert lines[1].startswith("textae: expected tokenizer.vocabulary_size of at most ")
    assert "received 99999" in lines[1]
    assert not (run.place / "outputs").exists()
    assert run("train", *arguments)[1] == lines[1:]


def test_a_folder_of_the_user_stays(run):
    (run.place / "mine").mkdir()
    os.utime(run.place / "mine", (0, 0))
    refused(run, "train", "model.strides=[]", "hydra.run.dir=mine", says="model.strides")


@pytest.mark.parametrize("command", ["evaluate", "reconstruct", "encode output=z.npz", "decode input=z.npz", "probe"])
def test_commands_on_what_is_no_run(run, command):
    command, *arguments = command.split()
    refused(run, command, *arguments, says="expected run=..., found none")
    refused(run, command, *arguments, "run=nowhere", says="expected a run folder, found no folder nowhere")
    (run.place / "empty").mkdir()
    refused(run, command, *arguments, "run=empty", says="expected a run folder with config.yaml, found none")


@pytest.mark.parametrize("command", ["score", "interpolate", "arithmetic", "neighbours", "sample", "export"])
def test_other_commands_on_what_is_no_run(run, command):
    arguments = ["run=nowhere", *(["output=served"] if command == "export" else [])]
    refused(run, command, *arguments, says="expected a run folder, found no folder nowhere")


def test_settings_of_commands_that_cannot_be(run, trained):
    folder = f"run={trained[0]}"
    refused(run, "export", folder, "output=x", "format=tflite", says="format: expected one of saved_model, onnx, found")
    refused(
        run, "interpolate", folder, says="input: expected 2 lines (the first text, the last text), found 1", input=b"a"
    )
    refused(run, "sample", folder, says="expected a run of a variational model (model.variational=true)")


def test_a_run_without_weights(run, trained):
    shutil.copytree(trained[0], run.place / "early")
    (run.place / "early" / "weights.safetensors").unlink()
    refused(run, "reconstruct", "run=early", says="expected a run with weights.safetensors, found none")


def test_evaluating_a_split_that_there_is_not(run, trained):
    refused(run, "evaluate", f"run={trained[0]}", "split=dev", says="expected split as train, validation or test")


def test_evaluating_what_cannot_be(run, trained):
    folder = f"run={trained[0]}"
    refused(
        run, "evaluate", folder, "corruption.drop=0.1", says="expected corruption.drop=0 with model.latent=sequence"
    )
    refused(run, "evaluate", folder, "by_length=no/a.csv", says="by_length: expected the folder no to exist")


def test_probing_without_labels(run, trained, data_dir):
    says = "corpus text: expected corpus.label=NAME for a corpus with labels, found none"
    refused(run, "probe", f"run={trained[0]}", f"data_dir={data_dir}", says=says)


@pytest.mark.parametrize("command", ["reconstruct", "encode output=z.npz"])
def test_input_that_is_not_utf8(run, trained, command):
    command, *arguments = command.split()
    says = "standard input, line 3: expected UTF-8, found byte 0xFF at byte 2 of the line"
    refused(run, command, *arguments, f"run={trained[0]}", says=says, input=b"a\n\nb\xffd\nd\n")


def test_input_and_output_files(run, trained):
    folder = f"run={trained[0]}"
    refused(run, "reconstruct", folder, "input=no.txt", says="input: expected a file, found none at no.txt")
    refused(run, "reconstruct", folder, "output=no/out.txt", says="output: expected the folder no to exist")
    refused(run, "reconstruct", folder, "output=.", says="output: expected the name of a file")
    refused(run, "encode", folder, "output=no/z.npz", says="output: expected the folder no to exist")
    refused(run, "encode", folder, "output=z.txt", says="to end in .npz or .parquet, received z.txt")
    refused(run, "encode", folder, says="expected output=..., found none")
    refused(run, "decode", folder, says="expected input=..., found none")
    refused(run, "decode", folder, "input=z.npz", says="input: expected a file of latents, found none at z.npz")


@pytest.mark.parametrize("name", ["z.npz", "z.parquet", "z.txt"])
def test_decoding_a_file_of_something_else(run, trained, name):
    (run.place / name).write_text("not latents")
    refused(run, "decode", f"run={trained[0]}", f"input={name}", says=name)


def test_help_and_configuration(forks, tmp_path):
    made = forks.run(["--help"], cwd=tmp_path)
    assert made.code == 0
    for part in ("+experiment", "debug", "corpus=text", "resize_linear", "training.eval_every_steps=100"):
        assert part in made.output.decode()
    assert "schema" not in made.output.decode()
    made = forks.run(["--cfg", "job", "training.seed=7"], cwd=tmp_path)
    assert made.code == 0
    assert "  seed: 7\n" in made.output.decode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_while_waiting_for_input(forks, tmp_path, trained, number):
    """One line and the exit code that shells expect."""
    os.mkfifo(tmp_path / "pipe")
    process = forks.start([f"run={trained[0]}", "input=pipe"], command="reconstruct", cwd=tmp_path)
    writer = open_for_writing(tmp_path / "pipe", 60)
    os.kill(process.pid, number)
    ended = forks.wait(process)
    os.close(writer)
    assert ended.code == 128 + number
    (line,) = ended.errors.splitlines()
    assert line.startswith("textae: stopped by ")


def open_for_writing(pipe, seconds):
    """Open a pipe as soon as there is a process that reads it."""
    for _ in range(10 * seconds):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    pytest.fail("nobody reads the pipe")
