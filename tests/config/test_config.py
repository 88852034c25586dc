"""Every file of settings composes and builds, nonsense is refused, and a run's settings come back from its folder."""

import itertools
import math
import re
from dataclasses import fields

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from textae.config import command_schemas
from textae.config import schema as settings
from textae.config.choices import Initialization, LatentKind, Pooling, ProbeTask, VocabularyLossKind
from textae.config.command_schemas import COMMANDS
from textae.config.mapping import flat, from_mapping, resolve, to_mapping
from textae.config.registration import config_dir, register
from textae.config.schema import CORPORA, Config, ModelConfig, TextConfig, TfdsConfig, TrainingConfig

pytestmark = pytest.mark.backend_free

GROUPS = {"corpus": ("pydocs", "text", "tfds"), "tokenizer": None, "model": None, "model/upsampler": None}
NEEDED = {"corpus=text": ["corpus.files=[a.txt]"], "corpus=tfds": ["corpus.name=ag_news_subset"]}
EXPERIMENTS = sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))


def composed(*overrides, name="config"):
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        return resolve(compose(name, overrides=list(overrides)))


def choices():
    for group, names in GROUPS.items():
        found = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
        for name in names or found:
            yield f"{group}={name}"
    for name in EXPERIMENTS:
        yield f"+experiment={name}"


def shrunken(config):
    """The same model with as few channels as it can have."""
    model = config.model
    model.channels = [8 + 2 * i for i in range(len(model.channels))]
    model.residual_blocks = [min(residual_blocks, 1) for residual_blocks in model.residual_blocks]
    model.latent_size = 6
    model.max_length = 2 * math.prod(model.strides)
    return model


def build_and_call(model):
    """Build a model, and encode and decode a text."""
    from textae.models.autoencoder import build

    built = build(model, 30)
    stride = math.prod(model.strides)
    out = built(np.full((1, 2 * stride), 3, np.int32), np.array([stride + 1], np.int32))
    assert out.hidden.shape == (1, 2 * stride, 8)
    assert np.isfinite(np.array(out.hidden, np.float32)).all()


MODELS_THAT_BUILD = set()  # many files of settings have the same model


@pytest.mark.parametrize("choice", list(choices()))
def test_every_file_composes_and_builds(choice):
    config = composed(choice, *NEEDED.get(choice, []))
    assert isinstance(config, Config)
    assert from_mapping(to_mapping(config)) == config
    model = shrunken(config)
    if repr(model) not in MODELS_THAT_BUILD:
        build_and_call(model)
        MODELS_THAT_BUILD.add(repr(model))


def test_there_are_experiments():
    assert "debug" in EXPERIMENTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_how_it_is_run(name):
    text = (config_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    assert f"+experiment={name}" in text
    assert composed(f"+experiment={name}").name == name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_compose(name):
    needed = {"encode": ["output=z.npy"], "decode": ["input=z.npy"], "export": ["output=served"]}.get(name, [])
    which = "runs" if name == "report" else "run"
    assert getattr(composed(f"{which}=somewhere", *needed, name=name), which) == "somewhere"
    if name == "report":  # which has runs or curves
        return
    with pytest.raises(OmegaConfBaseException, match=which):
        composed(*needed, name=name)


def test_the_defaults_of_files_and_classes_agree():
    config = composed()
    assert config.model == ModelConfig()
    assert config.training == TrainingConfig()


@pytest.mark.parametrize(
    "override",
    [
        "+model.typo=3",
        "model.residual_blocks=x",
        "training.schedule=step",
        "model.kernel_size=2.5",
        "+typo=1",
        "model=none",
    ],
)
def test_what_is_no_setting(override):
    with pytest.raises((HydraException, OmegaConfBaseException, ValueError)):
        composed(override)


MODEL = [
    ({"strides": []}, "model.strides of one or more whole numbers", []),
    ({"strides": [0]}, "model.strides of one or more whole numbers", [0]),
    ({"channels": [8]}, "model.channels with one entry more than model.strides (2)", [8]),
    ({"residual_blocks": [1, 1, 1]}, "model.residual_blocks with one entry more than model.strides (2)", [1, 1, 1]),
    ({"channels": [8, 0]}, "model.channels of at least 1", [8, 0]),
    ({"residual_blocks": [0, -1]}, "model.residual_blocks of at least 0", [0, -1]),
    ({"encoder_residual_blocks": [1]}, "model.encoder_residual_blocks with one entry more than model.strides (2)", [1]),
    ({"encoder_residual_blocks": [0, -1]}, "model.encoder_residual_blocks of at least 0", [0, -1]),
    ({"kernel_size": 0}, "model.kernel_size of at least 1", 0),
    ({"expansion": 0.0}, "model.expansion above 0", 0.0),
    ({"latent_size": 0}, "model.latent_size of at least 1", 0),
    ({"latent_noise": -0.1}, "model.latent_noise of at least 0", -0.1),
    ({"latent_noise": math.inf}, "model.latent_noise of at least 0", math.inf),
    ({"kl_weight": -1.0}, "model.kl_weight of at least 0", -1.0),
    ({"kl_warmup": 1.5}, "model.kl_warmup in [0, 1]", 1.5),
    ({"kl_cycles": 0}, "model.kl_cycles of at least 1", 0),
    ({"target_rate": 0.0}, "model.target_rate above 0", 0.0),
    ({"target_rate": 8.0, "kl_weight": 0.0}, "model.kl_weight above 0 with model.target_rate", 0.0),
    ({"target_rate": 8.0, "kl_schedule": "cyclic"}, "model.kl_schedule=constant with model.target_rate", "cyclic"),
    ({"free_bits": math.nan}, "model.free_bits of at least 0", math.nan),
    ({"latent_dropout": 1.0}, "model.latent_dropout in [0, 1)", 1.0),
    ({"residual_dropout": math.nan}, "model.residual_dropout in [0, 1)", math.nan),
    ({"logit_scale": 0.0}, "model.logit_scale above 0", 0.0),
    ({"channels": [8, 7], "initialization": Initialization.lattice}, "an even last number of model.channels", 7),
    ({"pooling": Pooling.mean}, "model.pooling=positions with model.latent=sequence", "mean"),
    ({"bag_of_words": True}, "model.bag_of_words=false with model.latent=sequence", True),
    ({"initialization": Initialization.cooccurrence}, "model.pooling=mean with model.initialization=co", "positions"),
    (
        {"initialization": Initialization.cooccurrence, "pooling": Pooling.mean, "latent": LatentKind.vector},
        "model.tie_embeddings=false with model.initialization=cooccurrence",
        True,
    ),
    ({"max_length": 254}, "model.max_length as a multiple of the product of model.strides (4)", 254),
    ({"max_length": 0}, "model.max_length as a multiple of the product of model.strides (4)", 0),
]
TRAINING = [
    ({"max_steps": None}, "one of training.max_steps, training.max_epochs, training.max_minutes", None),
    ({"max_steps": 0}, "training.max_steps of at least 1", 0),
    ({"max_epochs": 0.0}, "training.max_epochs above 0", 0.0),
    ({"max_minutes": -1.0}, "training.max_minutes above 0", -1.0),
    ({"seed": -1}, "training.seed in [0, 2**31)", -1),
    ({"learning_rate": 0.0}, "training.learning_rate above 0", 0.0),
    ({"final_learning_rate": 1.5}, "training.final_learning_rate in [0, 1]", 1.5),
    ({"max_gradient_norm": 0.0}, "training.max_gradient_norm above 0", 0.0),
    *(
        ({n: 0}, f"training.{n} of at least 1", 0)
        for n in ("tokens_per_batch", "num_length_buckets", "gradient_accumulation_steps", "log_every_steps")
    ),
    *(({n: 0}, f"training.{n} of at least 1", 0) for n in ("eval_every_steps", "validation_documents", "patience")),
    ({"overfit_documents": 0}, "training.overfit_documents of at least 1", 0),
    *(({n: -1}, f"training.{n} of at least 0", -1) for n in ("warmup_steps", "num_logged_samples")),
    *(({n: -1.0}, f"training.{n} of at least 0", -1.0) for n in ("weight_decay", "checkpoint_every_minutes")),
    *(({n: 1.0}, f"training.{n} in [0, 1)", 1.0) for n in ("beta_1", "beta_2", "ema_decay", "label_smoothing")),
    ({"reconstruction_share": 1.5}, "training.reconstruction_share in [0, 1]", 1.5),
    ({"reconstruction_share": 0.0}, "training.reconstruction_share above 0", 0.0),
    *(({n: -1.0}, f"training.{n} of at least 0", -1.0) for n in ("bag_of_words_weight", "contrastive_weight")),
    ({"contrastive_temperature": 0.0}, "training.contrastive_temperature above 0", 0.0),
    ({"sampled_ids": 0}, "training.sampled_ids of at least 1", 0),
    (
        {"label_smoothing": 0.1, "vocabulary_loss": VocabularyLossKind.sampled},
        "training.label_smoothing=0 with training.vocabulary_loss=sampled",
        0.1,
    ),
    ({"random_length_rate": 1.0}, "training.random_length_rate in [0, 1)", 1.0),
]
OTHERS = [
    (settings.UpsamplerConfig, {"kernel_factor": 0}, "model.upsampler.kernel_factor of at least 1", 0),
    (settings.TokenizerConfig, {"vocabulary_size": 258}, "tokenizer.vocabulary_size from 259 to 16777216 with", 258),
    (settings.TokenizerConfig, {"target_vocabulary_size": 3}, "tokenizer.target_vocabulary_size of at least 4", 3),
    (settings.TokenizerConfig, {"sample_megabytes": 0.0}, "tokenizer.sample_megabytes of at least 0.001", 0.0),
    (TextConfig, {"validation_share": 1.0}, "corpus.validation_share in [0, 1)", 1.0),
    (TextConfig, {"test_share": -0.1}, "corpus.test_share in [0, 1)", -0.1),
    (TextConfig, {"test_share": 0.0}, "corpus.test_share above 0", 0.0),
    (TextConfig, {"validation_share": 0.0, "test_files": ["a"]}, "corpus.validation_share above 0", 0.0),
    (TextConfig, {"validation_share": 0.5, "test_share": 0.5}, "corpus.validation_share + corpus.test_share be", 1.0),
    (settings.TfdsConfig, {"test_share": 0.0, "splits": {"train": "t"}}, "corpus.test_share above 0", 0.0),
    *((settings.CorruptionConfig, {n: 1.0}, f"corruption.{n} in [0, 1)", 1.0) for n in ("drop", "mask", "substitute")),
    (settings.CorruptionConfig, {"shuffle": -1}, "corruption.shuffle of at least 0", -1),
    (
        settings.CorruptionConfig,
        {"drop": 0.5, "mask": 0.25, "substitute": 0.25},
        "corruption.drop + corruption.mask + corruption.substitute below 1",
        1.0,
    ),
    (command_schemas.ProbeConfig, {"labels": 1}, "labels of at least 2", 1),
    (
        command_schemas.ProbeConfig,
        {"labels": 9, "task": ProbeTask.containment},
        "labels=null with task=containment",
        9,
    ),
    (command_schemas.ProbeConfig, {"seed": -1}, "seed of at least 0", -1),
    (command_schemas.EvaluateConfig, {"split": "dev"}, "split as train, validation or test", "dev"),
    (command_schemas.EvaluateConfig, {"latent_noise": -1.0}, "latent_noise of at least 0", -1.0),
    (command_schemas.EvaluateConfig, {"documents": 0}, "documents of at least 1", 0),
    (command_schemas.EvaluateConfig, {"noise_levels": [0.5, 1.0]}, "noise_levels in [0, 1)", 1.0),
    (command_schemas.EvaluateConfig, {"bits": [8, 17]}, "bits of at most 16", 17),
    (command_schemas.EvaluateConfig, {"bits": []}, "levels of a curve", [[n / 10 for n in range(10)], []]),
    (command_schemas.EvaluateConfig, {"csv": "a.csv"}, "curve=noise or curve=bits with csv", None),
    (command_schemas.EvaluateConfig, {"curve": "bits", "latent_noise": 0.5}, "latent_noise=0 with curve", 0.5),
    (command_schemas.EvaluateConfig, {"curve": "bits", "by_length": "a.csv"}, "no by_length with curve", "a.csv"),
    (command_schemas.EncodeConfig, {"bits": 0}, "bits of at least 1", 0),
    (command_schemas.ReportConfig, {"runs": "a", "curves": ["b"]}, "runs=FOLDER or curves=[FILE,...]", "a"),
    (settings.Config, {"objective": "accuracy"}, "objective as one of loss, token_accuracy, exact_match,", "accuracy"),
    (
        command_schemas.ReportConfig,
        {"runs": "outputs", "sort": "accuracy"},
        "sort as one of loss, token_accuracy, exact_match,",
        "accuracy",
    ),
]
CHECKS = [(ModelConfig, *check) for check in MODEL] + [(TrainingConfig, *check) for check in TRAINING] + OTHERS


@pytest.mark.parametrize(("schema", "values", "expected", "received"), CHECKS, ids=lambda v: str(v)[:40])
def test_checks(schema, values, expected, received):
    with pytest.raises(ValueError) as caught:
        schema(**values)
    assert str(caught.value).startswith(f"expected {expected}")
    assert str(caught.value).endswith(f", received {received!r}")


def test_two_groups_that_do_not_fit():
    with pytest.raises(ValueError, match=r"tokens_per_batch of at least model\.max_length \(256\), received 100"):
        composed("training.tokens_per_batch=100")


LATTICE = ("model.initialization=lattice", "model.tie_embeddings=false")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.latent_size=3"], "model.latent_size of at least 4 .*received 3"),
        (["model.latent=vector", "model.latent_size=255"], "model.latent_size of at least 256 .*received 255"),
        (["model.latent_normalization=rms"], "model.latent_normalization none or tanh .*received 'rms'"),
        (["model.channels=[95,512]"], r"model.channels\[0\] of at least 96 .*received 95"),
        (["model.channels=[256,190]", "model.latent_size=192"], r"model.channels\[1\] of at least 192 .*received 190"),
        (["model.channels=[256,6]", "model.latent_size=4"], r"model.channels\[1\] of at least 8 .*received 6"),
    ],
)
def test_room_for_codewords(overrides, expected):
    latent_size = [] if any("latent_size" in override for override in overrides) else ["model.latent_size=192"]
    with pytest.raises(ValueError, match="expected " + expected):
        composed(*LATTICE, *latent_size, *overrides)
    composed(*latent_size, *overrides)


def test_the_lattice_is_not_for_bfloat16():
    with pytest.raises(ValueError, match=r"expected training\.precision auto or float32 .*received 'bfloat16'"):
        composed(*LATTICE, "training.precision=bfloat16")
    assert composed(*LATTICE, "training.precision=float32").training.precision.name == "float32"


def test_only_the_lattice_has_frequencies():
    with pytest.raises(ValueError, match=r"expected model\.initialization=lattice .*received 'orthogonal'"):
        composed("training.train_frequencies=false")


def test_a_lattice_with_a_frozen_encoder_has_a_table_of_its_own_for_the_output():
    with pytest.raises(ValueError, match=r"expected model\.tie_embeddings=false .*received True"):
        composed("model.initialization=lattice")
    assert composed("training.freeze_encoder=true").encoder_frozen


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "model.variational=true or model.latent_noise above 0 with model.initialization=codebook, received 0.0"),
        (["model=vector"], "model.latent=sequence with model.initialization=codebook, received 'vector'"),
        (
            ["model.latent_noise=0.3", "model.latent_size=257"],
            "model.latent_size of at most the first of model.channels (256) with model.initialization=codebook, "
            "received 257",
        ),
    ],
)
def test_a_codebook_is_learnt_for_noise_on_the_latents_of_a_sequence(overrides, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        composed("model.initialization=codebook", *overrides)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "model.latent=vector with training.contrastive_weight, received 'sequence'"),
        (["model=vector"], "training.corruption, as drop=0.5, with training.contrastive_weight, received 'none'"),
    ],
)
def test_two_views_of_a_text_need_a_vector_and_corruption(overrides, expected):
    with pytest.raises(Exception, match=re.escape(expected)):
        composed("training.contrastive_weight=1", *overrides)


def test_the_lattice_freezes_the_encoder_unless_it_is_told_otherwise():
    assert not composed().encoder_frozen
    assert composed(*LATTICE).encoder_frozen
    assert not composed(*LATTICE, "training.freeze_encoder=false").encoder_frozen


def test_a_rate_that_keeps_codewords_is_low():
    assert composed().learning_rate == 0.0003
    assert composed("model.initialization=random").learning_rate == 0.001
    assert composed("model=vector").learning_rate == 0.001
    assert composed("training.learning_rate=0.02").learning_rate == 0.02


def test_one_vector_per_text_learns_every_length_unless_it_is_told_otherwise():
    assert composed().random_length_rate == 0
    assert composed("model=vector").random_length_rate == 0.1
    assert composed("model=vector", "training.random_length_rate=0").random_length_rate == 0
    assert composed("training.random_length_rate=0.3").random_length_rate == 0.3


def test_corruption_that_moves_tokens_between_blocks():
    alignment = r"with model\.latent=sequence, where each token belongs to one latent, received"
    with pytest.raises(ValueError, match=rf"expected corruption\.drop=0 {alignment} 0\.1"):
        composed("training.corruption.drop=0.1")
    with pytest.raises(ValueError, match=rf"expected corruption\.shuffle of at most 4 {alignment} 5"):
        composed("training.corruption.shuffle=5")
    rates = ["training.corruption.mask=0.1", "training.corruption.substitute=0.2", "training.corruption.shuffle=4"]
    assert composed(*rates).training.corruption == settings.CorruptionConfig(mask=0.1, substitute=0.2, shuffle=4)
    rates = ["training.corruption.drop=0.1", "training.corruption.shuffle=50"]
    assert composed("model=vector", *rates).training.corruption == settings.CorruptionConfig(drop=0.1, shuffle=50)


def test_checks_run_when_a_config_is_composed():
    with pytest.raises(ValueError, match=r"model\.max_length as a multiple .* \(4\), received 30"):
        composed("model.max_length=30")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"corpus": None},
        {"corpus": {"kind": "other"}},
        {"corpus": {"kind": "text", "typo": 1}},
        {"corpus": {"kind": "text"}, "model": {"typo": 1}},
        {"corpus": {"kind": "text"}, "model": {"channels": "wide"}},
        {"corpus": {"kind": "text"}, "model": 3},
        {"corpus": {"kind": "text"}, "training": {"schedule": "step"}},
        {"corpus": "text"},
        {"typo": 1, "corpus": {"kind": "text"}},
    ],
    ids=str,
)
def test_a_damaged_mapping(values):
    with pytest.raises(ValueError, match="expected") as caught:
        from_mapping(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", sorted(CORPORA))
def test_mappings_are_inverse(kind):
    corpus = CORPORA[kind](validation_share=0.3)
    if kind == "tfds":
        corpus.name, corpus.splits = "some", {"test": "test[:10%]"}
    if kind == "text":
        corpus.files, corpus.max_characters = ["a b.txt", "ü/*.gz", "no"], 7
    model = ModelConfig(strides=[2, 3], channels=[4, 5, 6], residual_blocks=[0, 1, 2], max_length=12, latent_noise=1e-5)
    config = Config(
        corpus=corpus, model=model, name="x", training=TrainingConfig(max_minutes=1.5, max_gradient_norm=None)
    )
    mapping = to_mapping(config)
    assert from_mapping(mapping) == config
    assert to_mapping(from_mapping(mapping)) == mapping
    assert mapping["model"]["normalization"] == "rms"
    assert mapping["corpus"]["kind"] == kind


def test_fractions_are_taken_for_splits_that_no_other_setting_names():
    assert TextConfig(files=["a"]).split_fractions() == {"validation": 0.02, "test": 0.02}
    assert TextConfig(files=["a"], test_files=["b"]).split_fractions() == {"validation": 0.02}
    assert TfdsConfig(name="n", splits={"validation": "v", "test": "t"}).split_fractions() == {}
    for schema in CORPORA.values():
        assert {f.name for f in fields(schema)} >= {"kind", "validation_share", "test_share"}


def test_flat():
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}


def test_every_check_of_a_share_and_a_count_is_tested():
    tested = set(itertools.chain.from_iterable(values for _, values, _, _ in CHECKS))
    untested = {"tie_embeddings", "output_bias", "variational", "latent", "output", "upsampler", "normalization"}
    untested |= {"latent_normalization", "overflow", "length_curriculum"}
    assert {f.name for f in fields(ModelConfig)} - tested - untested == set()
