"""Run folders and files of latents from a stranger: nothing of them is run, nothing is written elsewhere, and what
they claim to hold is never allocated before it is looked at."""

import contextlib
import io
import json
import os
import resource
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import textae
from helpers.corpora import open_corpus
from helpers.refusals import one_line, refuses
from textae.config.mapping import to_mapping
from textae.inference import archives
from textae.inference import latent_files as latentfiles
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir
from textae.training.fit import fit

pytestmark = pytest.mark.backend_free  # what is refused here is refused before there is a model

SIZE = 5


@contextlib.contextmanager
def little_memory():
    """Within this block the process can take 1 GB more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    taken = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 1 << 40
    resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("trapped"),))


# Code.


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch trapped']",
        "name: !!python/object/apply:os.system ['touch trapped']",
        "!!python/name:os.system",
        "corpus: {kind: pydocs, _target_: os.system}",
        "_target_: os.system",
        "corpus: {kind: pydocs}\nmodel: {_target_: os.system, _args_: ['touch trapped']}",
        "corpus: {kind: pydocs}\nhydra: {run: {dir: ..}}",
        "corpus: {kind: pydocs}\ndefaults: [x]",
        "corpus: {kind: pydocs}\nname: ${oc.env:HOME}",
        "corpus: {kind: pydocs}\nname: ${oc.decode:'1'}",
        "corpus: {kind: pydocs}\nmodel: ${model}",
        "corpus: {kind: tfds, name: x, splits: {'${oc.env:HOME}': x}}",
    ],
)
def test_settings_run_nothing_and_look_nothing_up(broken, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (broken / run_folder.CONFIG).write_text(text)
    refuses(broken, "expected|damaged")
    assert not (tmp_path / "trapped").exists()


def test_a_lambda_layer_is_no_weights(broken, tmp_path):
    """Keras's own file of a model may hold code; it is not read as one."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)])
    model.save(tmp_path / "model.keras")
    (broken / run_folder.WEIGHTS).write_bytes((tmp_path / "model.keras").read_bytes())
    refuses(broken, r"weights\.safetensors is damaged or not of textae")
    modules = Path(textae.__file__).parent.rglob("*.py")
    # Beam's workers read their tasks from a temporary folder that the command has made for them.
    source = "".join(path.read_text(encoding="utf-8") for path in modules if path.name != "parallel.py")
    for name in (
        "load_model",
        "pickle.load",
        "import pickle",
        "allow_pickle=True",
        "unsafe",
        "yaml.load(",
        "eval(",
        "exec(",
    ):
        found = source.count(name)
        assert found == 0, name  # settings are read event by event


def test_pickles_are_not_opened(broken, tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    (broken / run_folder.WEIGHTS).write_bytes(pickle.dumps(Trap()))
    refuses(broken, r"weights\.safetensors is damaged or not of textae")
    array = np.empty(1, object)
    array[0] = Trap()
    np.save("a.npy", array, allow_pickle=True)
    np.savez("a.npz", latents=array, offsets=np.array([0, 1]))
    np.savez("b.npz", latents=np.zeros((1, SIZE), np.float32), offsets=array)
    for name, kind in (("a.npy", "vector"), ("a.npz", "sequence"), ("b.npz", "sequence")):
        with pytest.raises(ValueError, match="is not a file of latents"):
            list(latentfiles.read(name, kind, SIZE))
    assert not Path("trapped").exists()


@pytest.mark.parametrize("name", ["stranger:reviews", "huggingface:x", "a:b/c", "kaggle:x/y"])
def test_data_sets_whose_code_would_be_fetched(tmp_path, name):
    with pytest.raises(ValueError, match=f"expected a data set of TFDS itself, NAME or NAME:VERSION, found {name}"):
        open_corpus("tfds", tmp_path, name=name, tfds_dir=str(tmp_path))


# Other places.


@pytest.mark.parametrize("target", ["inside", "outside", "nowhere", "itself"])
@pytest.mark.parametrize(
    "name",
    [
        run_folder.CONFIG,
        run_folder.ENVIRONMENT,
        run_folder.WEIGHTS,
        run_folder.TOKENIZER,
        f"{run_folder.TOKENIZER}/tokenizer.json",
    ],
)
def test_links_are_refused(broken, tmp_path, name, target):
    path = broken / name
    place = {
        "inside": path.with_name("copy"),
        "outside": tmp_path / "other",
        "nowhere": tmp_path / "no",
        "itself": path,
    }
    kept = place[target] if target in ("inside", "outside") else tmp_path / "kept"
    path.rename(kept)
    path.symlink_to(place[target])
    assert "found a link" in refuses(broken)


@pytest.mark.parametrize(
    "name", [*run_folder.EVENTS, "train/projector", "train/events.1", run_folder.LOCK, run_folder.CHECKPOINT]
)
def test_a_training_writes_through_no_link(broken, tiny_config, tmp_path, name):
    other = tmp_path / "other"
    other.mkdir()
    (other / "0000000009.latents.tsv").write_text("mine")
    path = broken / name
    if path.is_dir():
        path.rename(tmp_path / "moved")
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(other if "." not in name else other / "0000000009.latents.tsv")
    (broken / run_folder.METRICS).unlink()
    with pytest.raises(ValueError, match=r"of the run's own at .*, found a link"):
        fit(tiny_config(), broken)
    assert [(p.name, p.read_text()) for p in other.iterdir()] == [("0000000009.latents.tsv", "mine")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize(
    "name",
    [run_folder.CONFIG, run_folder.WEIGHTS, f"{run_folder.TOKENIZER}/tokenizer.json"],
)
def test_pipes_are_refused_and_not_waited_for(broken, name):
    (broken / name).unlink()
    os.mkfifo(broken / name)
    assert "found a pipe" in refuses(broken)


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "..\\escaped", "a/../../escaped"])
def test_names_in_weights_and_archives_are_no_paths(broken, tmp_path, name):
    arrays, described = read_arrays(broken / run_folder.WEIGHTS)
    write_arrays(broken / run_folder.WEIGHTS, arrays | {name: np.zeros(3, np.float32)}, described)
    refuses(broken, "weights of the run's model, found others")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("latents.npy", b"x")
    with pytest.raises(ValueError, match="is not a file of latents"):
        list(latentfiles.read(tmp_path / "a.npz", "sequence", SIZE))
    assert not [path for path in (tmp_path, tmp_path.parent) if (path / "escaped").exists()]
    assert not Path("/escaped").exists()


def test_paths_of_a_run_s_settings_are_read_and_never_written(broken, tmp_path):
    """A run may name any file as its corpus: it would be read, as the user's own command would; its name is free."""
    values = RunDir(broken).config() | {"name": "../../escaped", "data_dir": "../../escaped"}
    run = RunDir(broken)
    run.create(values, read_json(broken / run_folder.ENVIRONMENT))
    assert textae.load(broken).config.name == "../../escaped"
    assert not (broken.parent.parent / "escaped").exists()


# Sizes.


def test_a_bomb_of_aliases(broken):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (broken / run_folder.CONFIG).write_text("\n".join(lines))
    started = time.monotonic()
    assert "expected plain values, found a tag or an anchor in line 1" in refuses(broken)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", [run_folder.CONFIG, run_folder.ENVIRONMENT])
def test_settings_of_gigabytes(broken, name):
    with (broken / name).open("r+b") as file:
        file.truncate(1 << 33)  # a hole: no disk is needed for it
    refuses(broken, "expected at most 1,048,576 bytes, found 8,589,934,592")


def test_a_tokenizer_of_gigabytes(broken):
    with (broken / run_folder.TOKENIZER / "tokenizer.json").open("r+b") as file:
        file.truncate(1 << 33)
    with little_memory():
        refuses(broken, "expected at most 16,777,216 bytes, found 8,589,934,592")


OTHER_WEIGHTS = (
    r"expected in .*weights\.safetensors .* of shape \([\d, ]+\), found|weights of the run's model, found others"
)
TOO_LARGE = r"config\.yaml: expected .*at most [\d,]+.*, received"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"channels": [1 << 16, 1 << 16]}, OTHER_WEIGHTS),
        ({"latent_size": 1 << 20, "channels": [16, 1 << 16]}, OTHER_WEIGHTS),
        ({"strides": [64], "channels": [1, 1 << 19], "residual_blocks": [0, 0], "max_length": 64}, OTHER_WEIGHTS),
        ({"residual_blocks": [30, 30], "encoder_residual_blocks": [2, 2]}, OTHER_WEIGHTS),
        ({"channels": [1 << 20, 1 << 20]}, OTHER_WEIGHTS),
        ({"latent": "vector", "max_length": 1 << 24, "overflow": "truncate"}, TOO_LARGE),
        ({"latent": "vector", "strides": [1], "max_length": 1 << 13, "overflow": "truncate"}, TOO_LARGE),
        ({"residual_blocks": [1024, 1024], "kernel_size": 1 << 16, "expansion": 1024.0}, TOO_LARGE),
        ({"residual_blocks": [1, 1], "kernel_size": 1 << 16, "max_length": 64}, TOO_LARGE),
        ({"residual_blocks": [10, 10], "kernel_size": 27}, TOO_LARGE),
        ({"strides": [1024], "max_length": 1024, "upsampler": {"kind": "resize_nearest"}}, TOO_LARGE),
        ({"residual_blocks": [1, 1], "expansion": 1024.0, "max_length": 1 << 12}, TOO_LARGE),
        ({"strides": [1 << 20], "max_length": 1 << 20}, TOO_LARGE),
        (
            {"strides": [4096, 4096], "channels": [64, 1, 1], "residual_blocks": [0, 0, 0], "max_length": 1 << 24},
            TOO_LARGE,
        ),
        (
            {"strides": [1024, 1024], "channels": [64, 1, 1], "residual_blocks": [0, 0, 0], "max_length": 1 << 20},
            TOO_LARGE,
        ),
        ({"strides": [1] * 8, "channels": [1] * 9, "residual_blocks": [300] * 9}, TOO_LARGE),
        ({"strides": [1] * 8, "channels": [1] * 9, "residual_blocks": [4] * 9}, TOO_LARGE),
        ({"latent_size": 1 << 20, "max_length": 1 << 12}, TOO_LARGE),
        ({"upsampler": {"kind": "transpose", "kernel_factor": 1024}, "channels": [1 << 12, 1 << 12]}, TOO_LARGE),
        (
            {"upsampler": {"kind": "resize_linear", "kernel_factor": 16}, "channels": [4, 4096], "max_length": 256},
            TOO_LARGE,
        ),
    ],
    ids=str,
)
def test_settings_of_a_model_that_fills_the_memory_or_takes_minutes(broken, tiny_config, settings, match):
    values = to_mapping(tiny_config())
    values["model"] |= settings
    values["training"]["tokens_per_batch"] = 1 << 24
    RunDir(broken).create(values, read_json(broken / run_folder.ENVIRONMENT))
    started = time.monotonic()
    with little_memory():
        refuses(broken, match)
    assert time.monotonic() - started < 5


def test_training_a_model_that_no_memory_holds(tiny_config, tmp_path):
    with pytest.raises(ValueError, match=r"expected a model that [\d.]+ GB of free memory can train, found [\d,]+ par"):
        fit(tiny_config(**{"model.channels": [1 << 19, 1 << 18]}), tmp_path)
    assert not (tmp_path / run_folder.CONFIG).exists()


def safetensors_file(entries, content=b""):
    header = json.dumps({"__metadata__": {"metadata": "{}", "crc32": "0"}} | entries).encode()
    return struct.pack("<Q", len(header)) + header + content


@pytest.mark.parametrize(
    "content",
    [
        safetensors_file({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        safetensors_file({"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 63]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({"a": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}, bytes(16)),
        safetensors_file({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}, bytes(16)),
        safetensors_file({"a": {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]}}),
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 100_000) + b"{" * 100_000,
    ],
)
def test_weights_that_claim_more_than_they_hold(broken, content):
    (broken / run_folder.WEIGHTS).write_bytes(content)
    with little_memory():
        refuses(broken, r"weights\.safetensors")


def npy(shape, dtype="<f4", content=b""):
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": dtype, "fortran_order": False, "shape": shape})
    return made.getvalue() + content


def archive(path, latents, offsets, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("offsets.npy", offsets)
        with file.open("latents.npy", "w", force_zip64=True) as member:
            for part in latents:
                member.write(part)


def bomb(size):
    """Zeros of any size, in parts."""
    return (bytes(1 << 20) for _ in range(size >> 20))


def test_a_zip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_NUMBERS", 1 << 20)
    path = tmp_path / "bomb.npz"
    rows = (64 << 20) // (4 * SIZE)
    archive(path, [npy((rows, SIZE)), *bomb(64 << 20)], npy((2,), "<i8", np.array([0, rows]).tobytes()))
    assert path.stat().st_size < 1 << 17
    match = r"expected at most [\d,]+ numbers together in a file this small"
    with little_memory(), pytest.raises(ValueError, match=match) as caught:
        list(latentfiles.read(path, "sequence", SIZE))
    one_line(caught)


@pytest.mark.parametrize(
    ("latents", "offsets"),
    [
        (npy((1 << 50, SIZE)), npy((2,), "<i8", np.array([0, 1 << 50]).tobytes())),
        (npy((4, SIZE), content=bytes(80)), npy((1 << 50,), "<i8")),
        (npy((4, SIZE), content=bytes(80)), npy((1 << 20,), "<i8", bytes(80))),
        (npy((4, SIZE), content=bytes(40)), npy((2,), "<i8", np.array([0, 4]).tobytes())),
        (npy((4, SIZE), "<f8", bytes(80)), npy((2,), "<i8", np.array([0, 4]).tobytes())),
        (npy((-4, SIZE)), npy((2,), "<i8", np.array([0, -4]).tobytes())),
        (b"\x93NUMPY\x03\x00" + bytes(100), npy((2,), "<i8", np.array([0, 4]).tobytes())),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, npy((2,), "<i8", np.array([0, 4]).tobytes())),
    ],
)
def test_archives_that_claim_more_than_they_hold(tmp_path, latents, offsets):
    archive(tmp_path / "a.npz", [latents], offsets)
    with little_memory(), pytest.raises(ValueError, match="is not a file of latents") as caught:
        list(latentfiles.read(tmp_path / "a.npz", "sequence", SIZE))
    one_line(caught)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's own arithmetic of a shape
def test_rows_that_claim_more_than_they_hold(tmp_path):
    for content in (npy((1 << 50, SIZE)), npy((1 << 62, SIZE)), npy((-1, SIZE)), npy((4, SIZE), content=bytes(8))):
        (tmp_path / "a.npy").write_bytes(content)
        with little_memory(), pytest.raises(ValueError, match="is not a file of latents") as caught:
            list(latentfiles.read(tmp_path / "a.npy", "vector", SIZE))
        one_line(caught)


def test_a_parquet_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_NUMBERS", 1 << 20)
    path = tmp_path / "bomb.parquet"
    zeros = pa.ListArray.from_arrays(pa.array([0, 5_000_000]), pa.array(np.zeros(5_000_000, np.float32)))
    pq.write_table(pa.table({"latents": zeros, "chunks": pa.array([1_000_000], pa.int32())}), path)
    del zeros
    assert path.stat().st_size < 1 << 17
    match = r"expected at most [\d,]+ numbers together in a file this small"
    with little_memory(), pytest.raises(ValueError, match=match):
        list(latentfiles.read(path, "sequence", SIZE))
