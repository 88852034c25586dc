"""A trained run in Python: texts come back exactly from a model that has learnt them."""

import keras
import numpy as np
import pytest

import textae
from textae.config.schema import Config, ModelConfig, TextConfig, TrainingConfig
from textae.data.batching import Batches
from textae.data.tokenizers import train_tokenizer
from textae.inference.text_autoencoder import RunRecord, TextAutoencoder, load, set_weights
from textae.losses.reconstruction import ReconstructionObjective
from textae.models.autoencoder import build
from textae.runs import run_folder
from textae.runs.arrays import read_arrays
from textae.training.optimizers import optimizer
from textae.training.steps import training_step

TEXTS = [
    "", "a", "abc", "abcd", "the small red house", "🙂👍🏽 ok", "nul \0 in it", "line\u2028separator", "tab\tand\nline",
    "naïve ☃ 日本語", " spaces  around ", "x" * 15, "x" * 16, "x" * 17,
]  # fmt: skip
LONG = "".join(chr(97 + i * i % 26) for i in range(70))


def learnt(latent, overflow, texts):
    """An autoencoder trained until every text comes back."""
    from textae.config.choices import LatentKind, Overflow

    keras.utils.set_random_seed(0)
    config = Config(
        corpus=TextConfig(files=[]),
        model=ModelConfig(
            strides=[4],
            channels=[48, 96],
            residual_blocks=[0, 1],
            latent_size=64,
            max_length=32 if latent == "sequence" else 64,
            latent=LatentKind[latent],
            overflow=Overflow[overflow],
        ),
        training=TrainingConfig(),
    )
    tokenizer = train_tokenizer("bytes", [])
    model = build(config.model, tokenizer.vocabulary_size)

    def objective(tokens, lengths, training, kl_weight):
        return ReconstructionObjective(model)(tokens, lengths, training)

    step = training_step(model, objective, optimizer("adamw"), max_gradient_norm=1.0)
    batches = Batches(
        tokenizer.encode(texts),
        max_length=config.model.max_length,
        stride=4,
        tokens_per_batch=1 << 12,
        length_buckets=1,
        overflow=overflow,
    )
    ae = TextAutoencoder(model, tokenizer, config)
    for number in range(1, 601):
        for batch in batches.epoch(0):
            sums = step([(batch.tokens, batch.lengths)], 0.004)
        good = number % 50 == 0 and float(sums["total"]) / float(sums["tokens"]) < 0.01
        if good and ae.reconstruct(texts) == texts:
            return ae
    pytest.fail(f"not learnt in 600 steps: {float(sums['total']) / float(sums['tokens'])}")


@pytest.fixture(scope="module")
def sequence():
    return learnt("sequence", "split", [*TEXTS, LONG])


@pytest.fixture(scope="module")
def vector():
    return learnt("vector", "truncate", TEXTS)


@pytest.mark.compiled  # for many steps this is faster
@pytest.mark.parametrize("kind", ["sequence", pytest.param("vector", marks=pytest.mark.backend_free)])
def test_every_text_comes_back(kind, request):
    ae = request.getfixturevalue(kind)
    texts = [*TEXTS, *TEXTS[::-1]] + ([LONG, LONG[:40]] if kind == "sequence" else [])
    assert ae.reconstruct(texts[:-1]) == texts[:-1]
    assert ae.decode(ae.encode(texts[:-1])) == texts[:-1]
    assert ae.reconstruct([TEXTS[5]]) == [TEXTS[5]]
    scores = ae.score(TEXTS)
    assert scores.shape == (len(TEXTS),) and scores.dtype == np.float64
    assert scores.max() < 0.2
    assert ae.score(["qzjw vkQ%&"])[0] > 10 * scores.mean()


@pytest.mark.backend_free
def test_shapes_of_latents(sequence, vector):
    found = sequence.encode(["", "abc", "abcd", LONG])
    assert [array.shape for array in found] == [(1, 64), (1, 64), (2, 64), (18, 64)]
    assert vector.encode(["", "abc"]).shape == (2, 64)
    assert vector.encode([]).shape == (0, 64)
    assert sequence.encode([]) == []
    assert sequence.decode([]) == vector.decode([]) == []
    assert sequence.score([]).shape == (0,)


@pytest.mark.backend_free
def test_a_vector_text_that_is_too_long_is_cut(vector):
    (found,) = vector.reconstruct(["ab" * 100])
    assert len(found.encode()) <= 64 or "\ufffd" in found


@pytest.mark.backend_free
def test_a_line_in_is_a_line_out_where_training_drops(trained, tiny_config):
    from textae.config.choices import Overflow

    ae = load(trained[0])
    ae.config.model.overflow = Overflow.drop
    ae = TextAutoencoder(ae.model, ae.tokenizer, ae.config)
    answers = ae.reconstruct(["a", "b" * 100, ""])
    assert len(answers) == 3 and len(answers[1].encode()) >= 96 - 3  # four segments, of which none is lost
    assert ae.score(["a", "b" * 100]).shape == (2,)
    assert [r is None for r in ae.codec.reconstruct(ae.tokenizer.encode(["a", "b" * 100]))] == [False, True]


def test_a_run_is_loaded(trained):
    folder, _ = trained
    ae = textae.load(str(folder))
    assert ae.tokenizer.kind == "bytes"
    arrays, metadata = read_arrays(folder / run_folder.WEIGHTS)
    for name, weight in ae.model.named_weights().items():
        np.testing.assert_array_equal(np.array(weight.value), arrays[name])
    assert metadata["step"] > 0
    last = textae.load(folder, weights=run_folder.LAST)
    assert len(last.encode(["abc"])) == 1
    noisy = textae.load(folder, latent_noise=5.0)
    assert noisy.score(["the small house"])[0] != ae.score(["the small house"])[0]


@pytest.mark.backend_free
def test_what_is_no_run(tmp_path, trained):
    with pytest.raises(ValueError, match="found no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected weights in .*other\.safetensors, found no such file"):
        load(trained[0], weights="other.safetensors")


@pytest.mark.backend_free
def test_weights_that_do_not_fit(trained):
    ae = load(trained[0])
    arrays = {name: np.array(weight.value) for name, weight in ae.model.named_weights().items()}
    name = next(iter(arrays))
    with pytest.raises(ValueError, match=r"expected in here the .* weights of the run's model, found others: extra"):
        set_weights(ae.model, arrays | {"extra": np.zeros(1)}, "here")
    with pytest.raises(ValueError, match=r"expected in here .* of shape .*, found \(1,\)"):
        set_weights(ae.model, arrays | {name: np.zeros(1)}, "here")


@pytest.mark.backend_free
def test_a_run_of_the_hub_is_loaded(trained, hub_server):
    pytest.importorskip("huggingface_hub")
    ae = textae.load(trained[0])
    assert ae.push_to_hub("me/model", revision="v1", private=True) == f"{hub_server.endpoint}/me/model"
    texts = ["the red house", "a small river"]
    assert textae.load("hf://me/model@v1").reconstruct(texts) == ae.reconstruct(texts)
    ae.record = RunRecord()
    with pytest.raises(ValueError, match=r"expected a finished run with metrics\.json"):
        ae.push_to_hub("me/model")
    with pytest.raises(ValueError, match="hf://me/nothing: expected a repository that can be used, found 404"):
        textae.load("hf://me/nothing")
