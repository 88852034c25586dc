"""What `auto` means on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from textae import hardware as machine
from textae.hardware import start_keras


def test_what_is_asked_for_is_taken():
    assert machine.choose_precision("float32") == "float32"
    assert machine.choose_precision("bfloat16") == "bfloat16"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX knows only XLA")
def test_tensorflow_takes_graphs_unless_xla_is_asked_for():
    assert [machine.choose_compile(asked) for asked in ("auto", "graph", "xla")] == ["graph", "graph", "xla"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="on JAX the device decides")
@pytest.mark.parametrize(
    ("flags", "expected"), [({"avx2"}, "float32"), ({"avx2", "avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")]
)
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, flags, expected):
    monkeypatch.setattr(machine, "processor_flags", lambda: flags)
    assert machine.choose_precision("auto") == expected
    assert machine.choose_precision("auto", fine_latents=True) == "float32"


@pytest.mark.parametrize("there", [False, True])
def test_an_accelerator_is_what_the_backend_says(monkeypatch, there):
    if keras.backend.backend() == "jax":
        monkeypatch.setattr("jax.default_backend", lambda: "gpu" if there else "cpu")
    else:
        monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [f"/{kind}:0"] if there else [])
    assert machine.on_accelerator() is there


def test_bfloat16_on_a_gpu_but_for_fine_latents(monkeypatch):
    monkeypatch.setattr(machine, "on_accelerator", lambda: True)
    assert machine.choose_precision("auto") == "bfloat16"
    assert machine.choose_precision("auto", fine_latents=True) == "float32"


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone")
def test_jax_compiles_always_and_takes_float32_on_a_processor():
    assert machine.choose_compile("graph") == "xla"
    assert machine.choose_precision("auto") == "float32"


def as_root(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is known of GPUs")
@pytest.mark.parametrize(
    ("paths", "environment", "expected"),
    [
        ([], {}, False),
        (["dev/null", "dev/nvram", "dev/dri/card0"], {}, False),
        (["dev/nvidia0"], {}, True),
        (["dev/nvidia1"], {}, True),
        (["dev/nvidia12"], {}, True),
        (["dev/nvidiactl"], {}, True),
        (["dev/nvidia-caps/nvidia-cap1"], {}, True),
        (["dev/dxg"], {}, True),
        (["dev/kfd"], {}, True),
        (["proc/driver/nvidia/version"], {}, True),
        ([], {"NVIDIA_VISIBLE_DEVICES": "1"}, True),
        ([], {"NVIDIA_VISIBLE_DEVICES": "all"}, True),
        ([], {"NVIDIA_VISIBLE_DEVICES": "none"}, False),
        ([], {"NVIDIA_VISIBLE_DEVICES": "void"}, False),
        ([], {"NVIDIA_VISIBLE_DEVICES": ""}, False),
    ],
    ids=str,
)
def test_a_gpu_is_hidden_only_where_there_is_no_trace_of_one(tmp_path, paths, environment, expected):
    root = as_root(tmp_path, *paths)
    assert machine.has_gpu(root, environment) is expected
    machine.hide_missing_gpu(root, environment)
    assert environment.get("CUDA_VISIBLE_DEVICES") == (None if expected else "-1")


@pytest.mark.parametrize("own", ["", "0", "1,2", "-1"])
def test_the_user_s_choice_of_gpus_is_kept(tmp_path, own):
    environment = {"CUDA_VISIBLE_DEVICES": own}
    machine.hide_missing_gpu(tmp_path, environment)
    assert environment == {"CUDA_VISIBLE_DEVICES": own}


def test_the_processor_is_named_with_its_cores():
    assert machine.processor().endswith("cores")


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("0", "0")])
def test_commands_ask_tensorflow_for_onednn_unless_the_user_has_decided(monkeypatch, own, expected):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if own is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    start_keras()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


def own_cache(folder, **given):
    """What is set where the user's cache is in `folder` and the variables `given` are set already."""
    environment = {"XDG_CACHE_HOME": str(folder)} | given
    machine.keep_compiled(environment)
    return {name: value for name, value in environment.items() if name not in given and name != "XDG_CACHE_HOME"}


@pytest.fixture
def jax_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax", raising=False)


@pytest.mark.usefixtures("jax_not_imported")
def test_jax_keeps_what_it_compiles_in_the_users_cache_for_each_kind_of_processor(tmp_path, monkeypatch):
    one = own_cache(tmp_path)
    folder = one["JAX_COMPILATION_CACHE_DIR"]
    assert folder.startswith(str(tmp_path / "textae" / "jax")) and Path(folder).is_dir()
    assert int(one["JAX_COMPILATION_CACHE_MAX_SIZE"]) > 0
    monkeypatch.setattr(machine, "processor_flags", lambda: {"another"})
    assert own_cache(tmp_path)["JAX_COMPILATION_CACHE_DIR"] not in (folder, None)


@pytest.mark.usefixtures("jax_not_imported")
def test_the_users_own_cache_of_jax_goes_first_and_none_is_made_where_none_can_be(tmp_path):
    assert own_cache(tmp_path, JAX_COMPILATION_CACHE_DIR="") == {}
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    assert own_cache(tmp_path / "file") == {}


@pytest.mark.usefixtures("jax_not_imported")
def test_nothing_is_kept_in_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    assert own_cache(tmp_path) == {}


def test_a_program_that_has_imported_jax_keeps_its_settings(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert own_cache(tmp_path) == {}


@pytest.mark.slow
def test_commands_import_no_library_that_none_of_them_uses():
    """In a process of its own: the libraries are there, and can be imported afterwards."""
    unused = [*machine._UNUSED, *(["jax"] if keras.backend.backend() == "tensorflow" else [])]
    script = (
        "import sys\n"
        "from textae.hardware import start_keras\n"
        "start_keras()\n"
        f"print([name for name in {unused!r} if name in sys.modules])\n"
        "import h5py, matplotlib.pyplot, sklearn\n"
        "import keras\n"
        "print(float(keras.ops.sum(keras.ops.ones(3))))\n"
    )
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert made.stdout.splitlines() == ["[]", "3.0"], made.stderr
