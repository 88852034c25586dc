"""What happens to long texts has one meaning: what is measured and what comes back is what `encode` stores."""

import itertools

import numpy as np
import pytest

import textae
from helpers.models import new_model
from textae.evaluation.evaluator import evaluate
from textae.evaluation.metrics import TextMetrics
from textae.inference.codec import Codec
from textae.inference.latent_files import LatentWriter, read
from textae.inference.text_autoencoder import TextAutoencoder
from textae.runs import run_folder

pytestmark = pytest.mark.backend_free  # what is cut is counted in NumPy; `test_codec.py` runs on both backends

MODES = ("split", "truncate", "drop")
MAX = 24  # tokens, of which the end is one
LENGTHS = [0, 1, 3, 4, 11, MAX - 2, MAX - 1, MAX, MAX + 1, 2 * MAX - 1, 2 * MAX, 2 * MAX + 5, 10 * MAX + 3]
MODELS = {
    "sequence": {},
    "vector": {"latent": "vector", "latent_size": 12},
    "fourier": {"latent": "vector", "latent_size": 24, "initialization": "lattice"},
}


@pytest.fixture(scope="module")
def codecs():
    """Codecs of models whose answers end at many places, and within their last block; compiled once for all modes."""
    made = {kind: Codec(new_model(output_bias=True, **changes)) for kind, changes in MODELS.items()}
    for codec in made.values():
        bias = np.zeros(20, np.float32)
        bias[1] = 2
        codec.model.bias.assign(bias)
    return made


@pytest.mark.parametrize(("kind", "mode"), itertools.product(MODELS, MODES))
def test_what_comes_back_and_is_measured_is_what_is_stored(codecs, kind, mode):
    found, draw = codecs[kind], np.random.default_rng(0)
    found.overflow = mode
    given = [draw.integers(2, 20, length).astype(np.int32) for length in LENGTHS]
    latents = found.encode(given)
    single = kind != "sequence" and mode != "split"
    assert found.single == single
    assert found.truncated(given) == (
        sum(length + 1 > MAX for length in LENGTHS) if mode == "truncate" or single else 0
    )
    answers = zip(found.decode(latents), found.reconstruct_all(given), found.reconstruct(given), strict=True)
    for ids, stored, (decoded, answered, measured) in zip(given, latents, answers, strict=True):
        np.testing.assert_array_equal(decoded, answered.ids)
        np.testing.assert_allclose(np.atleast_2d(stored), answered.latents, rtol=1e-5, atol=1e-6)
        assert len(answered.correct) == len(ids) + 1
        encoded = min(len(ids) + 1, MAX) if mode == "truncate" or single else len(ids) + 1
        assert len(answered.token_losses) == encoded
        assert len(np.atleast_2d(stored)) == -(-encoded // (4 if kind == "sequence" else MAX))
        assert (measured is None) == (mode == "drop" and len(ids) + 1 > MAX)
        if measured is not None:
            np.testing.assert_array_equal(measured.ids, decoded)
            np.testing.assert_array_equal(measured.correct, answered.correct)
            assert measured.correct.all() <= (encoded == len(ids) + 1 and decoded.tolist() == ids.tolist())


@pytest.mark.parametrize("kind", ["vector", "fourier"])
def test_only_the_last_vector_of_a_text_has_a_predicted_length(codecs, kind, monkeypatch):
    """Segments before the last are full, whatever the length head says of them; so the rest stays in its place."""
    codec, draw = codecs[kind], np.random.default_rng(0)
    codec.overflow = "split"
    monkeypatch.setattr(codec, "_predicted_lengths", lambda latents: np.ones(len(latents), np.int32))
    given = [draw.integers(2, 20, length).astype(np.int32) for length in LENGTHS]
    found = codec.decode(codec.encode(given))
    for ids, decoded, measured in zip(given, found, codec.reconstruct_all(given), strict=True):
        full = len(ids) // MAX * MAX
        assert full <= len(decoded) <= full + 4
        np.testing.assert_array_equal(measured.ids, decoded)
    monkeypatch.setattr(codec, "true_lengths", True)
    for ids, measured in zip(given, codec.reconstruct_all(given), strict=True):
        assert len(ids) // 4 * 4 <= len(measured.ids) <= len(ids) // 4 * 4 + 4


@pytest.fixture(scope="module")
def texts(trained):
    """Texts of every length at which something changes, of 32 tokens at most."""
    words = "the red house and a blue river " * 12
    return [words[:length] for length in (0, 1, 30, 31, 32, 33, 63, 64, 65, 300)]


@pytest.mark.parametrize("mode", MODES)
def test_texts_and_metrics(trained, texts, mode):
    """Of a trained run: metrics are those of decoded latents, whose numbers are divided by tokens that were encoded."""
    from textae.config.choices import Overflow

    ae = textae.load(trained[0])
    ae.config.model.overflow = Overflow[mode]
    ae = TextAutoencoder(ae.model, ae.tokenizer, ae.config)
    decoded = ae.decode(ae.encode(texts))
    assert decoded == ae.reconstruct(texts)
    assert np.isfinite(ae.score(texts)).all()
    cut = 6 * (mode == "truncate")
    assert (ae.texts, ae.truncated) == (3 * len(texts), 3 * cut)
    kept = [i for i, text in enumerate(texts) if mode != "drop" or len(text) < 32]
    metrics = evaluate(ae, texts).metrics
    assert (metrics["documents_truncated"], metrics["documents_dropped"]) == (cut, len(texts) - len(kept))
    own = TextMetrics()
    own.update([texts[i] for i in kept], [decoded[i] for i in kept])
    for name, value in own.result().items():
        assert metrics[name] == pytest.approx(value), name
    lengths = [min(len(texts[i]) + 1, 32) if mode == "truncate" else len(texts[i]) + 1 for i in kept]
    numbers = 16 * sum(-(-length // 4) for length in lengths)
    assert metrics["latent_floats_per_token"] == pytest.approx(numbers / sum(lengths))
    assert metrics["latent_floats_per_token"] >= 4  # truncating compresses nothing


def test_files_of_segments(tmp_path):
    """Several vectors of a text need offsets; where each text has one, rows will do."""
    draw = np.random.default_rng(0)
    several = [draw.standard_normal((count, 5)).astype(np.float32) for count in (1, 3, 1, 2)]
    for name, latents in (("a.npz", several), ("a.parquet", several), ("a.npy", [several[0], several[2]])):
        with LatentWriter(tmp_path / name, "segments", 5) as out:
            out.write(latents[:1])
            out.write(latents[1:])
        found = [array for portion in read(tmp_path / name, "segments", 5) for array in portion]
        for own, true in zip(found, latents, strict=True):
            np.testing.assert_array_equal(own, true)
    assert np.load(tmp_path / "a.npy").shape == (2, 5)
    match = r"output: expected one vector for each text in a \.npy file, found 3 of text 2, .*\.npz and \.parquet hold"
    with pytest.raises(ValueError, match=match), LatentWriter(tmp_path / "b.npy", "segments", 5) as out:
        out.write(several)
    assert not (tmp_path / "b.npy").exists()


@pytest.mark.parametrize("command", ["encode", "reconstruct", "score"])
@pytest.mark.parametrize("mode", ["truncate", "split"])
def test_commands_tell_what_they_truncate(broken, texts, tmp_path, capsys, command, mode):
    from importlib import import_module

    from hydra import compose, initialize_config_dir

    from textae.config.registration import config_dir, register

    path = broken / run_folder.CONFIG
    path.write_text(path.read_text().replace("overflow: split", f"overflow: {mode}"))
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts))
    output = tmp_path / ("out.npz" if command == "encode" else "out.txt")
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        composed = compose(command, [f"run={broken}", f"input={tmp_path / 'in.txt'}", f"output={output}"])
    capsys.readouterr()
    import_module(f"textae.{command}").main(composed)
    said = capsys.readouterr()
    line = "6 of 10 texts are longer than model.max_length=32 (31 tokens and the end) and were truncated\n"
    assert (said.out, said.err) == ("", line if mode == "truncate" else "")
