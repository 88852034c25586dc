"""Quantised ONNX files: what becomes of their weights, and how the loss is measured."""

import logging

import numpy as np
import pytest

from textae.exporting.int8 import coded, measured, padded, quantize

pytestmark = pytest.mark.backend_free


def written(path, draw):
    """An ONNX file: embeddings of ids, a product with weights on the right, and one with weights on the left."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    table, right, left = (draw.normal(size=shape).astype(np.float32) for shape in ((300, 64), (64, 32), (200, 32)))
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "right"], ["states"]),
        helper.make_node("Transpose", ["states"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["left", "columns"], ["logits"]),
    ]
    constants = zip(("table", "right", "left"), (table, right, left), strict=True)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [200, "n"])],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return lambda ids: left @ (table[ids] @ right).T


def test_weights_have_8_bits_and_answers_are_near(tmp_path, caplog):
    ort = pytest.importorskip("onnxruntime")
    import onnx

    expected = written(tmp_path / "float.onnx", np.random.default_rng(0))
    with caplog.at_level(logging.INFO):
        quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    assert caplog.records == []
    model = onnx.load(tmp_path / "int8.onnx")
    kinds = {c.data_type for c in model.graph.initializer if np.prod(c.dims) > 1000}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * (tmp_path / "float.onnx").stat().st_size
    session = ort.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    ids = np.arange(0, 300, 7, dtype=np.int32)
    (found,) = session.run(None, {"ids": ids})
    right = expected(ids)
    assert found.shape == right.shape
    assert 0 < np.linalg.norm(found - right) / np.linalg.norm(right) < 0.1


def test_the_loss_is_counted_over_tokens_and_texts():
    documents = [np.array([5, 6, 7]), np.array([8]), np.array([9, 9])]
    answers = {1.0: [[5, 6, 7], [8], [9, 8]], 2.0: [[5, 6], [8, 8], [7, 8]]}

    def fixed(scale):
        latents = [np.full((len(ids), 2), scale, np.float32) for ids in documents]
        return latents, [np.array(row) for row in answers[scale]]

    found = measured(documents, fixed(1.0), fixed(2.0), (100, 30))
    assert found == {
        "documents": 3, "tokens": 6, "token_accuracy_float32": 5 / 6, "exact_match_float32": 2 / 3,
        "bytes_float32": 100, "token_accuracy_int8": 3 / 6, "exact_match_int8": 0.0, "bytes_int8": 30,
        "latent_difference": pytest.approx(1.0),
    }  # fmt: skip


@pytest.mark.parametrize("single", [True, False])
def test_documents_are_coded_in_batches(single, monkeypatch):
    """By functions of arrays that copy: each text's ids, as one latent for each id or one vector with all of them."""
    documents = [np.arange(1, 2 + i % 5, dtype=np.int32) for i in range(40)]
    documents.insert(7, np.arange(1, 31, dtype=np.int32))  # longer than a batch
    shapes = []

    def encode(ids, lengths):
        shapes.append(ids.shape)
        latents = np.pad(ids, ((0, 0), (0, 30 - ids.shape[1]))).astype(np.float32)
        return {"latents": latents} if single else {"latents": ids[:, :, None] * 1.0, "num_latents": lengths}

    def decode(latents, counts=None):
        ids = latents if single else latents[:, :, 0]
        return {"ids": ids.astype(np.int32), "lengths": (ids > 0).sum(axis=1)}

    monkeypatch.setattr("textae.exporting.int8._TOKENS_AT_ONCE", 20)
    latents, answers = coded(encode, decode, documents)
    assert [array.shape for array in latents] == [(30,) if single else (len(ids), 1) for ids in documents]
    assert [ids.tolist() for ids in answers] == [ids.tolist() for ids in documents]
    assert sum(rows for rows, _ in shapes) == 41 and (1, 30) in shapes
    assert all(rows * length <= 20 for rows, length in shapes if length < 30) and len(shapes) < 15
    ids, lengths = padded(documents[:3])
    assert ids.tolist() == [[1, 0, 0], [1, 2, 0], [1, 2, 3]] and lengths.tolist() == [1, 2, 3]
