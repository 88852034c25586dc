"""`encode` and `score` by shards: the parts of a data set are, to the bit, what one process answers."""

import gzip
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import textae
from textae.cli.shards import _locked
from textae.data.preparation import in_portions
from textae.inference.latent_files import read

pytestmark = [pytest.mark.usefixtures("small_pictures", "small_portions"), pytest.mark.backend_free]

LONG = "a text that is longer than the model takes at once " * 3
TEXTS = {  # 7, 7 and no lines
    "a.txt": ["the red house", "", "a river runs often", LONG, "naïve 日本", "tab\tin it", "qzjw vkQ%&"],
    "b.txt": ["one \r in it", "the red house", *(f"the {word} tree" for word in "large small blue red old".split())],
    "c.txt": [],
}


@pytest.fixture(scope="module")
def small_portions():
    """Portions of a few lines, as those of a large file are of a few thousand."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("textae.cli.commands", "textae.cli.shards"):
            patch.setattr(f"{module}.PORTION_CHARACTERS", 40)
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "a.txt").write_bytes("\r\n".join(TEXTS["a.txt"]).encode() + b"\r\n")
    (folder / "b.txt").write_bytes(gzip.compress("\n".join(TEXTS["b.txt"]).encode()))  # no end of its last line
    (folder / "c.txt").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def other_run(trained, tmp_path_factory):
    """A run with the same weights and another configuration."""
    folder = shutil.copytree(trained[0], tmp_path_factory.mktemp("runs") / "other")
    text = (folder / "config.yaml").read_text()
    assert "max_steps: 12" in text
    (folder / "config.yaml").write_text(text.replace("max_steps: 12", "max_steps: 13"))
    return folder


def rows_of(folder):
    return ds.dataset(folder).to_table().to_pylist()


PLACES = [(name, number) for name, texts in TEXTS.items() for number in range(1, len(texts) + 1)]


@pytest.fixture(scope="module")
def expected(trained, small_portions):
    """The latents of all lines, from the Python interface, which is given a portion at a time."""
    ae = textae.load(trained[0])
    portions = (portion for texts in TEXTS.values() for portion in in_portions(texts, 40))
    return [array for portion in portions for array in ae.encode(portion)]


@pytest.mark.parametrize(("shards", "count"), [(["1/1"], 1), (["2/2", "1/2"], 2), (["all/3"], 3), (["all/50"], 50)])
def test_parts_are_what_one_process_answers(command, trained, inputs, expected, tmp_path, shards, count):
    run, folder = f"run={trained[0]}", tmp_path / "latents"
    for shard in shards:  # in any order
        command("encode", run, f"input={inputs}/*.txt", f"output={folder}", f"shard={shard}")
    rows = rows_of(folder)
    assert [(row["file"], row["line"]) for row in rows] == [(str(inputs / name), line) for name, line in PLACES]
    assert [row["num_latents"] for row in rows] == [len(array) for array in expected]
    assert [np.float32(row["latents"]).tobytes() for row in rows] == [array.tobytes() for array in expected]
    found = [array for portion in read(folder, "sequence", 16) for array in portion]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    if count == 1:  # one process and one file
        command("encode", run, f"input={inputs / 'a.txt'}", f"output={tmp_path / 'a.npz'}")
        whole = [array for portion in read(tmp_path / "a.npz", "sequence", 16) for array in portion]
        assert all(np.array_equal(one, other) for one, other in zip(whole, expected[:7], strict=True))
    sizes = [pq.read_metadata(path).num_rows for path in sorted(folder.glob("part-*.parquet"))]
    assert len(sizes) == count and sum(sizes) == len(PLACES)
    assert (0 in sizes) == (count == 50)
    others = {path.name for path in folder.iterdir() if not path.name.startswith("part-")}
    assert others <= {"_index.json", "._index.json.lock"}


def test_scores_are_those_of_one_process(command, trained, inputs, tmp_path):
    run, folder, output = f"run={trained[0]}", tmp_path / "scores", tmp_path / "scores.tsv"
    settings = ["baseline=true", "masked_passes=3"]
    command("score", run, f"input={inputs}/a.txt", f"output={folder}", "shard=all/2", *settings)
    command("score", run, f"input={inputs}/a.txt", f"output={output}", *settings)
    rows = rows_of(folder)
    names = list(rows[0])
    assert names[:4] == ["file", "line", "score", "character_trigrams"]
    for row, line in zip(rows, output.read_text().splitlines(), strict=True):
        values = [f"{row[name]:.4f}" for name in names[2:]]
        assert line.split("\t")[: len(names) - 1] == [values[0], str(row["line"]), *values[1:]]
    texts = {1: TEXTS["a.txt"][:4], 5: TEXTS["a.txt"][4:]}  # portions of at least 40 characters
    ae = textae.load(trained[0])
    assert [row["score"] for row in rows] == [s for lines in texts.values() for s in ae.score(lines, 3).tolist()]
    with pytest.raises(ValueError, match=r"output: expected parts of the same settings in .*scores, found others in"):
        command("score", run, f"input={inputs}/a.txt", f"output={folder}", "shard=all/2", "masked_passes=4")
    with pytest.raises(ValueError, match="output: expected parts of the same command"):
        command("encode", run, f"input={inputs}/a.txt", f"output={folder}", "shard=all/2")


def test_the_same_command_does_what_is_missing(command, trained, inputs, tmp_path, monkeypatch):
    run, folder = f"run={trained[0]}", tmp_path / "latents"
    given = [run, f"input={inputs}/*.txt", f"output={folder}"]
    command("encode", *given, "shard=2/3")
    parts = [folder / f"part-0000{number}-of-00003.parquet" for number in (1, 2, 3)]
    before = parts[1].stat()
    command("encode", *given, "shard=all/3")
    assert [path.exists() for path in parts] == [True, True, True]
    assert parts[1].stat().st_mtime_ns == before.st_mtime_ns and parts[1].stat().st_ino == before.st_ino
    monkeypatch.setattr("textae.encode.start_keras", None)  # nothing heavy is begun for nothing
    monkeypatch.setattr("textae.cli.shards.index_file", None)  # nor are lines counted again
    command("encode", *given, "shard=all/3")
    command("encode", *given, "shard=1/3")
    assert len(rows_of(folder)) == len(PLACES)


def test_a_shard_of_another_run_or_input_is_refused(command, trained, other_run, inputs, tmp_path):
    folder = tmp_path / "latents"
    given = [f"input={inputs}/a.txt", f"output={folder}"]
    command("encode", f"run={trained[0]}", *given, "shard=1/2")
    with pytest.raises(ValueError, match=r"^output: expected parts of the same run in .*, found others in part-00001"):
        command("encode", f"run={other_run}", *given, "shard=2/2")
    with pytest.raises(ValueError, match=r"output: expected parts of the same number of shards"):
        command("encode", f"run={trained[0]}", *given, "shard=2/3")
    with pytest.raises(ValueError, match=r"output: expected parts of the same input"):
        command("encode", f"run={trained[0]}", f"input={inputs}/b.txt", f"output={folder}", "shard=2/2")
    with pytest.raises(ValueError, match=r"expected all parts of a data set of 2 in .*latents, found 1"):
        command("decode", f"run={trained[0]}", f"input={folder}")
    (folder / "part-00001-of-00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"part-00001-of-00002.parquet is damaged: .*; without it, it is written anew"):
        command("encode", f"run={trained[0]}", *given, "shard=2/2")
    (folder / "part-00001-of-00002.parquet").unlink()
    (folder / "notes").write_text("mine")
    with pytest.raises(ValueError, match=r"expected an empty folder or that of a data set, found 'notes'"):
        command("encode", f"run={trained[0]}", *given, "shard=2/2")
    with pytest.raises(ValueError, match="output: expected a folder or the name of a new one with shard"):
        command("encode", f"run={trained[0]}", given[0], f"output={folder / 'notes'}", "shard=2/2")
    with pytest.raises(FileNotFoundError, match="input: expected the file nothing, found none"):
        command("encode", f"run={trained[0]}", "input=nothing", f"output={folder}", "shard=2/2")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "x/2", "-1/2", "1/100000", "²/3", "1/2/3", ""])
def test_what_is_no_shard(command, trained, shard):
    with pytest.raises(ValueError, match="expected shard as I/N or all/N, N from 1 to 99999 and I from 1 to N"):
        command("encode", f"run={trained[0]}", "input=a", "output=b", f"shard='{shard}'")


def test_what_does_not_go_with_shards(command, trained):
    run = f"run={trained[0]}"
    for settings, expected in {
        ("encode", "output=b"): "input=FILE, a folder or a glob with shard",
        ("encode", "input=-", "output=b"): "input=FILE, a folder or a glob with shard",
        ("encode", "input=a", "output=b", "bits=4"): "bits=null with shard",
        ("score", "input=a"): "output=FOLDER with shard",
        ("score", "input=a", "output=b", "sort=true"): "sort=false with shard",
        ("score", "input=a", "output=b", "labels=c"): "labels=null with shard",
    }.items():
        with pytest.raises(ValueError, match=f"expected {expected}"):
            command(settings[0], run, *settings[1:], "shard=1/2")


def test_a_data_set_is_decoded(command, trained, inputs, tmp_path):
    run, folder = f"run={trained[0]}", tmp_path / "latents"
    command("encode", run, f"input={inputs}/a.txt", f"output={folder}", "shard=all/2")
    command("encode", run, f"input={inputs}/a.txt", f"output={folder}.npz")
    assert command("decode", run, f"input={folder}") == command("decode", run, f"input={folder}.npz")


def test_one_process_at_a_time_writes_a_part(command, trained, inputs, tmp_path):
    folder = tmp_path / "latents"
    folder.mkdir()
    given = [f"run={trained[0]}", f"input={inputs}/a.txt", f"output={folder}", "shard=1/2"]
    with _locked(folder / "part-00001-of-00002.parquet"):
        with pytest.raises(ValueError, match=r"expected no other process that writes .*part-00001-of-00002"):
            command("encode", *given)
        command("encode", *given[:3], "shard=2/2")
    command("encode", *given)
    assert len(rows_of(folder)) == len(TEXTS["a.txt"])


def test_a_killed_shard_leaves_nothing_under_its_name(forks, trained, inputs, tmp_path):
    folder = tmp_path / "latents"
    big = tmp_path / "lines.txt"
    big.write_text("".join(f"{line}\n" for line in TEXTS["b.txt"] * 3))
    given = [f"run={trained[0]}", f"input={big}", f"output={folder}", "shard=all/2"]
    # The first file that gets its name is the index.
    ended = forks.run(given, command="encode", at={"place": "renaming", "call": 3, "signal": 9})
    assert ended.code == -9 and not list(folder.glob("part-00002*"))
    assert len(list(folder.glob(".part-00002*.tmp"))) == 1 and list(folder.glob("part-00001*"))
    ended = forks.run(given, command="encode")
    assert ended.code == 0, ended.errors
    assert "1 of 2 parts are complete" in ended.errors and "wrote part 2 of 2" in ended.errors
    assert not list(folder.glob("*.tmp")) and not list(folder.glob(".*.tmp"))
    assert [row["line"] for row in rows_of(folder)] == list(range(1, 3 * len(TEXTS["b.txt"]) + 1))
    assert ds.dataset(folder).schema.field("latents").type == pa.list_(pa.float32())
