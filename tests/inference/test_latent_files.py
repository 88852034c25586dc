"""Files of latents: what goes in comes out, and what is no such file is refused in one line."""

import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textae.inference import latent_files as latentfiles
from textae.inference.latent_files import LatentWriter, check, read

pytestmark = pytest.mark.backend_free

SIZE = 5
KINDS = [("a.npy", "vector"), ("a.parquet", "vector"), ("a.npz", "sequence"), ("a.parquet", "sequence")]


def latents(kind, count, seed=0):
    draw = np.random.default_rng(seed)
    shapes = [(SIZE,) if kind == "vector" else (int(draw.integers(1, 6)), SIZE) for _ in range(count)]
    return [draw.standard_normal(shape).astype(np.float32) for shape in shapes]


def write(path, kind, portions):
    with LatentWriter(path, kind, SIZE) as out:
        for portion in portions:
            out.write(np.stack(portion) if kind == "vector" and portion else portion)


def everything(path, kind, size=SIZE):
    return [array for portion in read(path, kind, size) for array in portion]


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("counts", [[7], [3, 0, 4], [1], []])
def test_round_trips(tmp_path, monkeypatch, name, kind, counts):
    monkeypatch.setattr(latentfiles, "_ROWS", 3)
    portions = [latents(kind, count, seed) for seed, count in enumerate(counts)]
    write(tmp_path / name, kind, portions)
    expected = [array for portion in portions for array in portion]
    found = everything(tmp_path / name, kind)
    assert len(found) == len(expected)
    for own, true in zip(found, expected, strict=True):
        assert own.dtype == np.float32
        np.testing.assert_array_equal(own, true)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_numpy_reads_what_is_written(tmp_path):
    written = latents("vector", 12)
    write(tmp_path / "a.npy", "vector", [written])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), np.stack(written))
    written = latents("sequence", 4)
    write(tmp_path / "a.npz", "sequence", [written])
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        rows, offsets = archive["latents"], archive["offsets"]
    assert rows.dtype == np.float32 and offsets[0] == 0
    for number, array in enumerate(written):
        np.testing.assert_array_equal(rows[offsets[number] : offsets[number + 1]], array)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_equal_latents_make_equal_files(tmp_path, monkeypatch, name, kind):
    contents = set()
    for now in (1_000_000_000, 1_700_000_000):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write(tmp_path / name, kind, [latents(kind, 3)])
        contents.add((tmp_path / name).read_bytes())
        if name.endswith(".npz"):
            assert {member.date_time for member in zipfile.ZipFile(tmp_path / name).infolist()} == {
                (1980, 1, 1, 0, 0, 0)
            }
    assert len(contents) == 1


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_nothing_is_left_of_a_failure(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(RuntimeError), LatentWriter(tmp_path / name, kind, SIZE) as out:
        out.write(latents(kind, 3))
        raise RuntimeError("a damaged line")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_nothing_is_left_when_the_disk_is_full(tmp_path, monkeypatch, name, kind):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / name, kind, [latents(kind, 2)])
    assert list(tmp_path.iterdir()) == []


def test_suffixes(tmp_path):
    assert check("a.npy", "vector").name == "a.npy"
    with pytest.raises(ValueError, match=r"for sequence latents to end in \.npz or \.parquet, received a\.npy"):
        check("a.npy", "sequence")
    with pytest.raises(ValueError, match=r"for vector latents to end in \.npy or \.parquet, received a\.npz"):
        LatentWriter(tmp_path / "a.npz", "vector", SIZE)
    with pytest.raises(ValueError, match=r"expected the folder .* to exist"):
        LatentWriter(tmp_path / "nowhere" / "a.npy", "vector", SIZE)
    with pytest.raises(FileNotFoundError, match="found none at"):
        list(read(tmp_path / "a.npy", "vector", SIZE))


def refused(path, kind):
    with pytest.raises(ValueError, match="is not a file of latents") as caught:
        everything(path, kind)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


class Unpickled:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))

    def __repr__(self):  # part of a test's name, which must be the same in every process
        return "Unpickled"


ROWS = np.zeros((4, SIZE), np.float32)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([Unpickled()], object),
        np.zeros((4, SIZE + 1), np.float32),
        np.zeros(SIZE, np.float32),
        np.zeros((2, 2, SIZE), np.float32),
        np.zeros((4, SIZE), np.int32),
        np.zeros((4, SIZE), "U3"),
        np.zeros((4, SIZE), np.complex64),
    ],
    ids=lambda rows: f"{rows.dtype}{rows.shape}",
)
def test_hostile_rows(tmp_path, rows):
    np.save(tmp_path / "a.npy", rows, allow_pickle=True)
    refused(tmp_path / "a.npy", "vector")
    np.savez(tmp_path / "a.npz", latents=rows, offsets=np.array([0, len(rows)]))
    refused(tmp_path / "a.npz", "sequence")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_numbers_that_are_not_finite(tmp_path, monkeypatch, name, kind, odd):
    """The line names the text; 1e300 is infinite in float32."""
    monkeypatch.setattr(latentfiles, "_ROWS", 2)
    rows = np.zeros((4, SIZE))
    rows[3, 2] = odd
    if name.endswith(".npy"):
        np.save(tmp_path / name, rows)
    elif name.endswith(".npz"):
        np.savez(tmp_path / name, latents=rows, offsets=np.arange(5))
    else:
        pq.write_table(pa.table({"latents": rows.tolist(), "num_latents": [1] * 4}), tmp_path / name)
    portions = read(tmp_path / name, kind, SIZE)
    assert len(next(portions)) == 2
    with pytest.raises(
        ValueError, match=r"not a file of latents: expected finite numbers, found (nan|-?inf) in text 4$"
    ):
        next(portions)


@pytest.mark.parametrize(
    "offsets",
    [
        np.array([0, 2]),
        np.array([0, 5]),
        np.array([1, 4]),
        np.array([0, 3, 2, 4]),
        np.array([0, 2, 2, 4]),
        np.array([0, 2**63, 4], np.uint64),
        np.array([-1, 4]),
        np.array([0.0, 4.0]),
        np.array([[0, 4]]),
        np.array(4),
        np.zeros(0, np.int64),
        np.array([Unpickled()], object),
    ],
    ids=str,
)
def test_hostile_offsets(tmp_path, offsets):
    np.savez(tmp_path / "a.npz", latents=ROWS, offsets=offsets)
    refused(tmp_path / "a.npz", "sequence")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"PAR1" * 3, b"text\n" * 50])
@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_files_of_something_else(tmp_path, name, kind, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, kind)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_files_cut_short(tmp_path, name, kind):
    write(tmp_path / name, kind, [latents(kind, 30)])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    refused(tmp_path / name, kind)


def test_archives_without_their_parts(tmp_path):
    np.savez(tmp_path / "a.npz", latents=ROWS)
    refused(tmp_path / "a.npz", "sequence")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("latents.npy", b"no array")
        archive.writestr("offsets.npy", b"no array")
    refused(tmp_path / "b.npz", "sequence")
    np.savez(tmp_path / "c.npz", latents=ROWS, offsets=np.array([0, 4]))
    content = (tmp_path / "c.npz").read_bytes()
    start = content.index(b"\x93NUMPY") + 130
    (tmp_path / "c.npz").write_bytes(content[:start] + b"\x01" + content[start + 1 :])
    refused(tmp_path / "c.npz", "sequence")


@pytest.mark.parametrize(
    "columns",
    [
        {"latents": [[0.0] * SIZE]},
        {"latents": [[0.0] * SIZE], "num_latents": [2]},
        {"latents": [[0.0] * SIZE], "num_latents": [0]},
        {"latents": [[0.0] * SIZE], "num_latents": [-1]},
        {"latents": [[]], "num_latents": [0]},
        {"latents": [None], "num_latents": [1]},
        {"latents": [[0.0] * SIZE], "num_latents": [None]},
        {"latents": [1.0], "num_latents": [1]},
        {"latents": ["text"], "num_latents": [1]},
        {"latents": [["text"] * SIZE], "num_latents": [1]},
        {"latents": [[None] * SIZE], "num_latents": [1]},
        {"latents": [[[0.0]] * SIZE], "num_latents": [1]},
        {"latents": [[0.0] * SIZE], "num_latents": ["1"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["sequence", "vector"])
def test_hostile_parquet(tmp_path, columns, kind):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", kind)


def test_several_latents_are_no_vector(tmp_path):
    write(tmp_path / "a.parquet", "sequence", [[np.zeros((2, SIZE), np.float32)]])
    refused(tmp_path / "a.parquet", "vector")
