"""What `auto` means on this machine."""

import os

import keras
import pytest

from textae import machine
from textae.commands import start_keras


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


def test_exact_products_are_those_of_the_whole_process():
    if keras.backend.backend() == "jax":
        import jax

        before = jax.config.jax_default_matmul_precision
        try:
            machine.multiply_exactly()
            assert jax.config.jax_default_matmul_precision == "highest"
        finally:
            jax.config.update("jax_default_matmul_precision", before)
    else:
        import tensorflow as tf

        try:
            machine.multiply_exactly()
            assert not tf.config.experimental.tensor_float_32_execution_enabled()
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(True)


def test_the_processor_is_named_with_its_cores():
    assert machine.processor().endswith("cores")


@pytest.mark.parametrize(("own", "expected"), [(None, "1"), ("0", "0")])
def test_commands_ask_tensorflow_for_onednn_unless_the_user_has_decided(monkeypatch, own, expected):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if own is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    start_keras()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected
