"""Files of latents of few bits: what goes in comes out, in the bits that were asked for; other files are refused."""

import io
import zipfile

import numpy as np
import pytest

from textae.inference import archives, quantization
from textae.inference.latent_files import read
from textae.inference.packed_latents import PackedWriter
from textae.inference.quantization import quantized

pytestmark = pytest.mark.backend_free

SIZE = 5


def latents(kind, count, seed=0):
    draw = np.random.default_rng(seed)
    shapes = [(SIZE,) if kind == "vector" else (int(draw.integers(1, 6)), SIZE) for _ in range(count)]
    return [draw.standard_normal(shape).astype(np.float32) for shape in shapes]


def write(path, portions, bits=6):
    with PackedWriter(path, SIZE, bits) as out:
        for portion in portions:
            out.write(portion)
    return path


def everything(path, kind, size=SIZE):
    return [array for portion in read(path, kind, size) for array in portion]


@pytest.mark.parametrize("kind", ["vector", "sequence", "segments"])
@pytest.mark.parametrize("counts", [[7], [3, 0, 4], [1], []])
@pytest.mark.parametrize("bits", [1, 3, 16])
def test_round_trips(tmp_path, monkeypatch, kind, counts, bits):
    monkeypatch.setattr(quantization, "TEXTS", 3)
    portions = [latents(kind, count, seed) for seed, count in enumerate(counts)]
    write(tmp_path / "a.npz", portions, bits)
    expected = [array for portion in portions for block in quantized(portion, SIZE, bits) for array in block.latents()]
    found = everything(tmp_path / "a.npz", kind)
    assert len(found) == len(expected) == sum(counts)
    for own, true, given in zip(found, expected, [array for portion in portions for array in portion], strict=True):
        assert own.dtype == np.float32 and own.shape == given.shape
        np.testing.assert_array_equal(own.reshape(-1, SIZE), true)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("bits", [1, 4, 6, 16])
def test_a_file_has_the_size_of_its_bits(tmp_path, bits):
    texts = latents("sequence", 2000)
    numbers = sum(array.size for array in texts)
    size = write(tmp_path / "a.npz", [texts], bits).stat().st_size
    assert size - numbers * bits / 8 < 1500 + 2000 + 8 * SIZE  # headers, a byte for each text, ranges


def test_equal_latents_make_equal_files(tmp_path, monkeypatch):
    contents = set()
    for now in (1_000_000_000, 1_700_000_000):
        monkeypatch.setattr("time.time", lambda now=now: now)
        contents.add(write(tmp_path / "a.npz", [latents("sequence", 3)]).read_bytes())
    assert len(contents) == 1


def test_nothing_is_left_of_a_failure(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"old")
    with pytest.raises(RuntimeError), PackedWriter(tmp_path / "a.npz", SIZE, 4) as out:
        out.write(latents("sequence", 3))
        raise RuntimeError("a damaged line")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_bytes() == b"old"


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"latents of 4 bits a number to end in \.npz, found .*a\.npy"):
        PackedWriter(tmp_path / "a.npy", SIZE, 4)
    with (
        pytest.raises(ValueError, match="expected finite latents, found nan"),
        PackedWriter(tmp_path / "a.npz", SIZE, 4) as out,
    ):
        out.write([np.array([[0, 1, np.nan, 2, 3]], np.float32)])
    assert list(tmp_path.iterdir()) == []


def refused(path, kind="sequence"):
    with pytest.raises(ValueError, match="is not a file of latents") as caught:
        everything(path, kind)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def arrays_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


RANGES = np.stack([np.zeros((1, SIZE), np.float32), np.ones((1, SIZE), np.float32)], axis=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"bits": np.array([0])},
        {"bits": np.array([17])},
        {"bits": np.array([5])},
        {"bits": np.array([4, 4])},
        {"bits": np.array(4)},
        {"bits": np.array([4.0])},
        {"counts": np.array([2, 1, 0])},
        {"counts": np.array([2, 1, -1])},
        {"counts": np.array([2, 1, 2**62])},
        {"counts": np.array([2, 1])},
        {"block_texts": np.array([2])},
        {"block_texts": np.array([4, -1])},
        {"block_texts": np.array([2**63, 3], np.uint64)},
        {"block_texts": np.zeros(0, np.int64)},
        {"ranges": RANGES[:, :, :4]},
        {"ranges": RANGES.astype(np.float64)},
        {"ranges": RANGES[:, ::-1]},
        {"ranges": RANGES * np.float32(np.nan)},
        {"codes": np.zeros(3, np.uint8)},
        {"codes": np.zeros(1000, np.uint8)},
        {"codes": np.zeros((2, 5), np.uint8)},
        {"codes": np.zeros(10, np.int8)},
        {"codes": np.array([None])},
    ],
    ids=lambda changes: "".join(f"{name}{array.dtype}{array.shape}" for name, array in changes.items()),
)
def test_hostile_arrays(tmp_path, changes):
    arrays = {"bits": np.array([4]), "counts": np.array([2, 1, 1]), "block_texts": np.array([3]), "ranges": RANGES}
    arrays["codes"] = np.zeros(10, np.uint8)
    np.savez(tmp_path / "a.npz", **arrays)
    assert len(everything(tmp_path / "a.npz", "sequence")) == 3
    refused(tmp_path / "a.npz", "vector")  # of which each text has one
    np.savez(tmp_path / "a.npz", **(arrays | changes))
    refused(tmp_path / "a.npz")


@pytest.mark.parametrize("missing", ["bits", "counts", "block_texts", "ranges", "codes"])
def test_a_missing_array(tmp_path, missing):
    arrays = arrays_of(write(tmp_path / "a.npz", [latents("sequence", 3)]))
    np.savez(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if name != missing})
    refused(tmp_path / "a.npz")


def test_another_size(tmp_path):
    write(tmp_path / "a.npz", [latents("sequence", 3)])
    with pytest.raises(ValueError, match="is not a file of latents"):
        everything(tmp_path / "a.npz", "sequence", SIZE + 1)


def test_truncated_and_damaged_files(tmp_path):
    """A file that is cut anywhere, or has a byte changed, is refused or decodes to other numbers; nothing else."""
    whole = write(tmp_path / "a.npz", [latents("sequence", 40)]).read_bytes()
    for end in range(0, len(whole), 97):
        (tmp_path / "a.npz").write_bytes(whole[:end])
        refused(tmp_path / "a.npz")
    refusals = 0
    for place in range(0, len(whole), 53):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = everything(tmp_path / "a.npz", "sequence")
        except ValueError as error:
            refusals += 1
            assert "\n" not in str(error)
        else:
            assert all(np.isfinite(array).all() for array in found)
    assert refusals > 5


def test_a_zip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_NUMBERS", 1 << 20)
    rows = (64 << 20) // SIZE
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (rows * SIZE,)})
    arrays = {"bits": np.array([8]), "counts": np.array([rows]), "block_texts": np.array([1]), "ranges": RANGES}
    np.savez(tmp_path / "bomb.npz", **arrays)
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("codes.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(64):
            member.write(bytes(1 << 20))
    with pytest.raises(ValueError, match=r"expected at most [\d,]+ numbers together in a file this small"):
        everything(tmp_path / "bomb.npz", "sequence")
